"""What of a sweep is there already, wherever in the experiment it was made."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mu.errors import UserError
from mu.methods import METHODS, make_method, method_class
from mu.tasks.problem import oracle_key, unlearning_key
from mu.tasks.sweep.checks import SweepPlan, load_of_method, load_of_original
from mu.tasks.sweep.estimate import Load, Past
from mu.tasks.sweep.plan import Task
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

Result = Mapping[str, Any]
MOST_PASTS = 200  # runs of a kind that estimates are taken from


class Finder:
    """Looks for finished runs by fingerprint."""

    def __init__(self, store: Store, sweep: SweepPlan) -> None:
        self._store, self._sweep = store, sweep
        self._network = lru_cache(maxsize=None)(self._read_network)
        self._mask = lru_cache(maxsize=None)(self._read_mask)

    def all(self) -> dict[str, Result]:
        """The results of all tasks that are done, with all that they need, by their keys."""
        found: dict[str, Result] = {}
        for task in self._sweep.plan.tasks:
            if all(need in found for need in task.needs):
                result = self.find(task, found)
                found |= {} if result is None else {task.key: result}
        return found

    def find(self, task: Task, results: Mapping[str, Result]) -> Result | None:
        """The result of a finished run of just that task, or None.

        Parameters
        ----------
        results
            Of what the task needs, among others.
        """
        look = {"original": self._original, "oracle": self._oracle, "cell": self._cell}
        run = look[task.kind](task, [results[need]["run_id"] for need in task.needs])
        return None if run is None else {"run_id": run.info.run_id, "metrics": run.data.metrics}

    def _original(self, task: Task, _needs: list[str]) -> MlflowRun | None:
        return next(find_finished(self._store, "prune", ORIGINAL_TAG, task.key), None)

    def _oracle(self, task: Task, needs: list[str]) -> MlflowRun | None:
        """The very oracle, or else one of another seed."""
        (original,) = needs
        if same := next(self._cells(task, original), None):
            return same
        sweep, mask_from = self._sweep, task.what["settings"]["mask_from"]
        mask = self._mask(original) if mask_from == "upstream" else ""
        spec = sweep.specs[sweep.original(task)]
        retained = sweep.retained[sweep.original(task), task.what["forget_set"]]
        return find_oracle(self._store, oracle_key(spec, retained, mask, mask_from))

    def _cell(self, task: Task, needs: list[str]) -> MlflowRun | None:
        """The same unlearning, compared with an oracle of the same kind where one is wanted."""
        original, *oracle = needs
        runs = self._cells(task, original)
        if not oracle or task.what["method"] == "retrain":
            return next(runs, None)
        return next((run for run in runs if self._compared(run, oracle[0])), None)

    def _cells(self, task: Task, original: str) -> Iterator[MlflowRun]:
        what = task.what
        method = make_method(what["method"], what["settings"])
        network, seed = self._network(original), self._sweep.seed(task)
        key = unlearning_key(network, what["forget_set"], what["method"], method, seed)
        return find_finished(self._store, "unlearn", CELL_TAG, key)

    def _compared(self, run: MlflowRun, oracle: str) -> bool:
        theirs = run.data.tags.get("mu.oracle")
        return theirs is not None and (
            theirs == oracle or self._oracle_key(theirs) == self._oracle_key(oracle)
        )

    def _oracle_key(self, run_id: str) -> str:
        try:
            return str(self._store.run(run_id).data.tags.get(ORACLE_TAG))
        except UserError:  # it was deleted since
            return ""

    def _read_network(self, run_id: str) -> tuple[str, str]:
        tags = self._store.run(run_id).data.tags
        return tags["mu.weights"], tags["mu.mask"]

    def _read_mask(self, run_id: str) -> str:
        return fetch_mask(self._store, run_id).fingerprint


# --- what earlier runs took ---------------------------------------------------------------


def pasts(store: Store) -> Iterator[Past]:
    """What the newest finished runs of the experiment took."""
    for entry, read in (("prune", _past_original), ("unlearn", _past_method)):
        query = f"tags.`mu.entry` = '{entry}' and attributes.status = 'FINISHED'"
        for run in itertools.islice(store.search(query), MOST_PASTS):
            # MLflow's launcher logs parameters as they were typed, so one may be no number.
            with contextlib.suppress(KeyError, ValueError):
                if (past := read(run)) is not None:
                    yield past


def _past_original(run: MlflowRun) -> Past | None:
    params, host = run.data.params, run.data.tags.get("mu.host", "")
    if "train_s" not in run.data.metrics:  # imported
        return None
    under_mask = params.get("mask_run_id", "none") != "none"
    load = load_of_original(params, mask_is_known=under_mask, host=host)
    return _past(run, load, run.data.metrics["train_s"])


def _past_method(run: MlflowRun) -> Past | None:
    params, name = run.data.params, run.data.params.get("method", "")
    if "RTE" not in run.data.metrics or name not in METHODS or name == "retrain":
        return None
    own = (*method_class(name).names(), "dataset", "arch", "forget", "prune_rate")
    about = {one: params[one] for one in own if one in params}
    load = load_of_method(name, about, run.data.tags.get("mu.host", ""))
    return _past(run, load, run.data.metrics["RTE"])


def _past(run: MlflowRun, load: Load, seconds: float) -> Past:
    took = (run.info.end_time - run.info.start_time) / 1000
    # A resumed run waited in between, and one may have trained its oracle meanwhile.
    whole = "mu.resumed" not in run.data.tags and took < 2 * seconds + 60
    return Past(load, seconds, max(0.0, took - seconds) if whole else 0.0)
