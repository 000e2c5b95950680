"""What of a sweep is finished already, wherever in the experiment it was made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mu.errors import UserError
from mu.methods import make_method
from mu.tasks.problem import oracle_key, unlearning_key
from mu.tasks.sweep.plan import Plan, Task
from mu.tracking import (
    CELL_TAG,
    ORACLE_TAG,
    ORIGINAL_TAG,
    Store,
    fetch_mask,
    find_finished,
    find_oracle,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

Results = Mapping[str, Mapping[str, Any]]  # run_id and metrics, by the keys of tasks


class Finder:
    """Finds the runs of a plan's tasks by fingerprint.

    Methods are given the results of what a task needs, among others.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self._network = lru_cache(maxsize=None)(self._read_network)
        self._mask = lru_cache(maxsize=None)(lambda run_id: fetch_mask(store, run_id).fingerprint)

    def all(self) -> dict[str, Mapping[str, Any]]:
        """The results of all tasks that are done, with all that they need, by their keys."""
        found: dict[str, Mapping[str, Any]] = {}
        for task in self.plan.tasks:
            if found.keys() >= set(task.needs) and (result := self.find(task, found)):
                found[task.key] = result
        return found

    def find(self, task: Task, results: Results) -> Mapping[str, Any] | None:
        """The result of a finished run of just that task, or None."""
        entry = "prune" if task.kind == "original" else "unlearn"
        runs = find_finished(self.store, entry, *self.tag(task, results))
        if oracle := oracle_of(task, results):
            runs = (run for run in runs if self._compared(run, oracle))
        run = next(runs, None)
        if run is None and task.kind == "oracle":
            run = self._other_oracle(task, results[task.original]["run_id"])
        return None if run is None else {"run_id": run.info.run_id, "metrics": run.data.metrics}

    def tag(self, task: Task, results: Results) -> tuple[str, str]:
        """The tag, name and value, that all runs of a task have, finished or not."""
        if task.kind == "original":
            return ORIGINAL_TAG, task.key
        what, network = task.what, self._network(results[task.original]["run_id"])
        method, seed = make_method(what["method"], what["settings"]), self.plan.seed(task)
        key = unlearning_key(network, what["forget_set"], what["method"], method, seed)
        return CELL_TAG, key

    def _other_oracle(self, task: Task, original: str) -> MlflowRun | None:
        """An oracle that differs by its seed only."""
        mask_from = task.what["settings"]["mask_from"]
        mask = self._mask(original) if mask_from == "upstream" else ""
        retained = self.plan.originals[task.original].retained[task.what["forget_set"]]
        return find_oracle(self.store, oracle_key(self.plan.spec(task), retained, mask, mask_from))

    def _compared(self, run: MlflowRun, oracle: str) -> bool:
        """Whether an unlearning was compared with an oracle of the same kind."""
        theirs = run.data.tags.get("mu.oracle")
        return theirs is not None and (
            theirs == oracle or self._oracle_key(theirs) == self._oracle_key(oracle)
        )

    def _oracle_key(self, run_id: str) -> str:
        try:
            return str(self.store.run(run_id).data.tags.get(ORACLE_TAG))
        except UserError:  # it was deleted since
            return ""

    def _read_network(self, run_id: str) -> tuple[str, str]:
        tags = self.store.run(run_id).data.tags
        return tags["mu.weights"], tags["mu.mask"]


def oracle_of(task: Task, results: Results) -> str | None:
    """The run of the oracle that a task is compared with, if it is compared."""
    if len(task.needs) < 2 or task.what["method"] == "retrain":
        return None
    return str(results[task.needs[1]]["run_id"])
