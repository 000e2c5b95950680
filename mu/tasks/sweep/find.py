"""What earlier runs say: which tasks are finished, wherever made, and how long others will take."""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mu import tags
from mu.keys import oracle_key, unlearning_key
from mu.methods import make_method
from mu.tasks.sweep.plan import Plan, Task
from mu.tracking import FINISHED, Store, fetch_mask, find_oracle, read_run, record_of

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

MUST_AGREE = {"dataset", "arch"}
MOST_PASTS = 200  # runs of a kind that estimates are taken from
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
        tag, key = self.tag(task, results)
        wanted = {tag: key, tags.ENTRY: entry}
        if task.needs and task.what["method"] == "retrain":  # one of earlier versions may have less
            wanted[tags.ORACLE_KEY] = self._oracle_key(task, results[task.needs[0]]["run_id"])
        found = self._store.find(wanted, FINISHED)
        runs = (run for run in found if tags.SPEC in run.data.tags)
        if oracle := oracle_of(task, results):
            judge = self._record(oracle)
            runs = (run for run in runs if record_of(self._store, run).same_oracle(judge))
        run = next(runs, None)
        if run is None and task.kind == "oracle":
            key = self._oracle_key(task, results[task.needs[0]]["run_id"])
            run = find_oracle(self._store, key)  # one that differs by its seed only
        return None if run is None else {"run_id": run.info.run_id, "metrics": run.data.metrics}

    def tag(self, task: Task, results: Results) -> tuple[str, str]:
        """The tag, name and value, that all runs of a task have, finished or not."""
        if not task.needs:
            return tags.ORIGINAL_KEY, task.key
        original, what = self._record(results[task.needs[0]]["run_id"]).tags, task.what
        network = original[tags.WEIGHTS], original[tags.MASK]
        method = make_method(what["method"], what["settings"])
        return tags.UNLEARNING, unlearning_key(network, what["forget_set"], method, task.seed)

    def _oracle_key(self, task: Task, original: str) -> str:
        method = make_method(task.what["method"], task.what["settings"])
        mask_from = method.as_dict()["mask_from"]
        mask = self._mask(original) if mask_from == "upstream" else ""
        retained = task.original.retained[task.what["forget_set"]]
        return oracle_key(task.original.spec, retained, mask, mask_from)


def oracle_of(task: Task, results: Results) -> str | None:
    """The run of the oracle that a task is compared with, if it is compared."""
    if len(task.needs) < 2 or task.what["method"] == "retrain":
        return None
    return str(results[task.needs[1]]["run_id"])


@dataclass(frozen=True)
class Load:
    """What decides how long a piece of work takes, and how long it took, if it is done."""

    kind: str  # ``original``, or the name of a method
    features: Mapping[str, str]  # settings as text, MUST_AGREE among them
    work: float = 1.0  # what the time grows with: epochs, where there are some
    seconds: float = 0.0  # of the work itself
    constant: float = 0.0  # seconds of loading, evaluation and plots, which do not grow


def estimate(load: Load, pasts: Sequence[Load]) -> float | None:
    """Median seconds over the most similar pieces of work, in proportion to the work.

    Similar are those of the same kind on the same data and architecture; among them the more,
    the more settings agree. None where there is none.
    """
    similar: dict[int, list[Load]] = {}
    for past in pasts:
        same = {name for name, value in load.features.items() if past.features.get(name) == value}
        if past.kind == load.kind and same.issuperset(MUST_AGREE):
            similar.setdefault(len(same), []).append(past)
    if not similar:
        return None
    nearest = similar[max(similar)]
    rate = statistics.median(past.seconds / past.work for past in nearest)
    return rate * load.work + statistics.median(past.constant for past in nearest)


def load_of(task: Task) -> Load:
    """What decides how long a task takes."""
    spec, what, settings = task.original.spec, task.what, task.what["settings"]
    if task.kind == "original" or what["method"] == "retrain":
        upstream = settings.get("mask_from") == "upstream" and not spec.recipe.keeps_trained
        return _load("original", spec.settings(), upstream or bool(spec.recipe.given_mask))
    about = {"dataset": spec.data.name, "arch": spec.recipe.model.arch, "forget": what["forget"]}
    about["prune_rate"] = spec.recipe.pruning["rate"]
    return _load(what["method"], {**about, **settings})


def pasts(store: Store) -> Iterator[Load]:
    """The newest finished runs of the experiment."""
    for entry in ("prune", "unlearn"):
        for run in itertools.islice(store.find({tags.ENTRY: entry}, FINISHED), MOST_PASTS):
            # MLflow's launcher logs parameters as they were typed, so one may not be a number;
            # imported originals have no times.
            with contextlib.suppress(KeyError, ValueError):
                yield _past(run)


def _past(run: MlflowRun) -> Load:
    params, metrics, found = run.data.params, run.data.metrics, run.data.tags
    original = found[tags.ENTRY] == "prune"
    seconds = metrics["train_s" if original else "RTE"]
    under_mask = params.get("mask_run_id", "none") != "none"
    kind = "original" if original else params["method"]
    load = _load(kind, params, under_mask, found.get(tags.HOST, ""))
    took = (run.info.end_time - run.info.start_time) / 1000
    # A resumed run waited in between, and one may have trained its oracle meanwhile.
    whole = tags.RESUMED not in found and took < 2 * seconds + 60
    return replace(load, seconds=seconds, constant=max(0.0, took - seconds) if whole else 0.0)


def _load(kind: str, settings: Mapping[str, Any], under_mask: bool = False, host: str = "") -> Load:
    """The load of an original or a method; ``host`` is this machine unless given."""
    known = {name: str(value) for name, value in settings.items() if value is not None}
    features = {**known, "host": host or socket.gethostname()}
    if kind != "original":
        return Load(kind, features, max(float(settings.get("epochs") or 1), 1.0))
    epochs = float(settings["epochs"])  # over all trainings
    if not under_mask and float(settings["rate"]) and settings["rewind"] not in (None, "none"):
        epochs += float(settings["rounds"]) * (epochs - float(settings["rewind_epoch"]))
    return Load(kind, features, epochs)
