"""How long tasks will take, by what the same or similar ones took."""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mu.tasks.sweep.plan import Plan, Task
from mu.tracking import Store

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

MUST_AGREE = ("dataset", "arch")
MOST_PASTS = 200  # runs of a kind that estimates are taken from


@dataclass(frozen=True)
class Load:
    """What decides how long a piece of work takes, and how long it took.

    Parameters
    ----------
    kind
        ``original``, or the name of a method.
    features
        Settings as text; :data:`MUST_AGREE` among them.
    work
        What the time grows with: epochs, where there are some.
    seconds
        What the work itself took, if it is done.
    constant
        Seconds of loading, evaluation and plots, which do not grow with it.
    """

    kind: str
    features: Mapping[str, str]
    work: float = 1.0
    seconds: float = 0.0
    constant: float = 0.0


def estimate(load: Load, pasts: Sequence[Load]) -> float | None:
    """Median seconds over the most similar pieces of work, in proportion to the work.

    Similar are those of the same kind on the same data and architecture; among them the more,
    the more settings agree. None where there is none.
    """

    def agree(past: Load, names: Sequence[str]) -> int:
        return sum(past.features.get(name) == load.features.get(name) for name in names)

    similar = [past for past in pasts if past.kind == load.kind]
    similar = [past for past in similar if agree(past, MUST_AGREE) == len(MUST_AGREE)]
    if not similar:
        return None
    names = list(load.features)
    most = max(agree(past, names) for past in similar)
    nearest = [past for past in similar if agree(past, names) == most]
    rate = statistics.median(past.seconds / past.work for past in nearest)
    return rate * load.work + statistics.median(past.constant for past in nearest)


def load_of(plan: Plan, task: Task) -> Load:
    """What decides how long a task takes."""
    spec, what, host = plan.spec(task), task.what, socket.gethostname()
    if task.kind == "original" or what["method"] == "retrain":
        upstream = what["settings"].get("mask_from") == "upstream"
        return _of_original(spec.settings(), upstream or spec.recipe.given_mask is not None, host)
    settings = {
        "dataset": spec.data.name,
        "arch": spec.recipe.model.arch,
        "forget": what["forget"],
        "prune_rate": spec.recipe.pruning["rate"],
        **what["settings"],
    }
    return _of_method(what["method"], settings, host)


def pasts(store: Store) -> Iterator[Load]:
    """The newest finished runs of the experiment."""
    for entry in ("prune", "unlearn"):
        query = f"tags.`mu.entry` = '{entry}' and attributes.status = 'FINISHED'"
        for run in itertools.islice(store.search(query), MOST_PASTS):
            # MLflow's launcher logs parameters as they were typed, so one may be no number.
            with contextlib.suppress(KeyError, ValueError):
                yield _past(run)


def _past(run: MlflowRun) -> Load:
    """A run as a piece of work; KeyError for imported originals."""
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    host = tags.get("mu.host", "")
    if tags["mu.entry"] == "prune":
        seconds = metrics["train_s"]
        load = _of_original(params, params.get("mask_run_id", "none") != "none", host)
    else:
        seconds = metrics["RTE"]
        load = _of_method(params["method"], params, host)
    took = (run.info.end_time - run.info.start_time) / 1000
    # A resumed run waited in between, and one may have trained its oracle meanwhile.
    whole = "mu.resumed" not in tags and took < 2 * seconds + 60
    return replace(load, seconds=seconds, constant=max(0.0, took - seconds) if whole else 0.0)


def _of_original(settings: Mapping[str, Any], under_mask: bool, host: str) -> Load:
    """The load of an original or an oracle: its epochs over all trainings."""
    epochs = float(settings["epochs"])
    if not under_mask and float(settings["rate"]) and settings["rewind"] not in (None, "none"):
        epochs += float(settings["rounds"]) * (epochs - float(settings["rewind_epoch"]))
    return Load("original", _features(settings, host), epochs)


def _of_method(name: str, settings: Mapping[str, Any], host: str) -> Load:
    return Load(name, _features(settings, host), max(float(settings.get("epochs") or 1), 1.0))


def _features(settings: Mapping[str, Any], host: str) -> dict[str, str]:
    known = {name: str(value) for name, value in settings.items() if value is not None}
    return {**known, "host": host}
