"""What of a sweep is finished already, wherever in the experiment it was made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mu import tags
from mu.methods import make_method
from mu.tasks.problem import oracle_key, unlearning_key
from mu.tasks.sweep.plan import Plan, Task
from mu.tracking import Store, fetch_mask, find_finished, find_oracle, read_run, record_of

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

Result = Mapping[str, Any]  # run_id, metrics
Results = Mapping[str, Result]  # by the keys of tasks


class Finder:
    """Finds runs of tasks by fingerprint, given the results of what the tasks need."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._record = lru_cache(maxsize=None)(lambda run_id: read_run(store, run_id))
        self._mask = lru_cache(maxsize=None)(lambda run_id: fetch_mask(store, run_id).fingerprint)

    def all(self, plan: Plan) -> dict[str, Result]:
        """The results of all tasks that are done, with all that they need, by their keys."""
        found: dict[str, Result] = {}
        for task in plan:
            if found.keys() >= set(task.needs) and (result := self.find(task, found)):
                found[task.key] = result
        return found

    def find(self, task: Task, results: Results) -> Result | None:
        """The result of a finished run of just that task, or None."""
        entry = "unlearn" if task.needs else "prune"
        runs = find_finished(self._store, entry, *self.tag(task, results))
        if oracle := oracle_of(task, results):
            judge = self._record(oracle)
            runs = (run for run in runs if record_of(self._store, run).same_oracle(judge))
        run = next(runs, None)
        if run is None and task.kind == "oracle":
            run = self._other_oracle(task, results[task.needs[0]]["run_id"])
        return None if run is None else {"run_id": run.info.run_id, "metrics": run.data.metrics}

    def tag(self, task: Task, results: Results) -> tuple[str, str]:
        """The tag, name and value, that all runs of a task have, finished or not."""
        if not task.needs:
            return tags.ORIGINAL_KEY, task.key
        original, what = self._record(results[task.needs[0]]["run_id"]).tags, task.what
        network, method = (original[tags.WEIGHTS], original[tags.MASK]), what["method"]
        settings = make_method(method, what["settings"])
        return tags.CELL, unlearning_key(network, what["forget_set"], method, settings, task.seed)

    def _other_oracle(self, task: Task, original: str) -> MlflowRun | None:
        """An oracle that differs by its seed only."""
        mask_from = task.what["settings"]["mask_from"]
        mask = self._mask(original) if mask_from == "upstream" else ""
        retained = task.original.retained[task.what["forget_set"]]
        key = oracle_key(task.original.spec, retained, mask, mask_from)
        return find_oracle(self._store, key)


def oracle_of(task: Task, results: Results) -> str | None:
    """The run of the oracle that a task is compared with, if it is compared."""
    if len(task.needs) < 2 or task.what["method"] == "retrain":
        return None
    return str(results[task.needs[1]]["run_id"])
