"""How long tasks will take, by what the same or similar ones took."""

from __future__ import annotations

import contextlib
import itertools
import socket
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mu import tags
from mu.tasks.sweep.plan import Task
from mu.tracking import FINISHED, Store, matching

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
    seconds, constant
        Of the work itself, if it is done; of loading, evaluation and plots, which do not grow.
    """

    kind: str
    features: Mapping[str, str]
    work: float = 1.0
    seconds: float = 0.0
    constant: float = 0.0

    def agreement(self, other: Load, names: Sequence[str]) -> int:
        """How many of these features are the same."""
        return sum(self.features.get(name) == other.features.get(name) for name in names)


def estimate(load: Load, pasts: Sequence[Load]) -> float | None:
    """Median seconds over the most similar pieces of work, in proportion to the work.

    Similar are those of the same kind on the same data and architecture; among them the more,
    the more settings agree. None where there is none.
    """
    similar: dict[int, list[Load]] = {}
    for past in pasts:
        if past.kind == load.kind and past.agreement(load, MUST_AGREE) == len(MUST_AGREE):
            similar.setdefault(past.agreement(load, [*load.features]), []).append(past)
    if not similar:
        return None
    nearest = similar[max(similar)]
    rate = statistics.median(past.seconds / past.work for past in nearest)
    return rate * load.work + statistics.median(past.constant for past in nearest)


def load_of(task: Task) -> Load:
    """What decides how long a task takes."""
    spec, what, settings = task.original.spec, task.what, task.what["settings"]
    if task.kind == "original" or what["method"] == "retrain":
        upstream = settings.get("mask_from") == "upstream"
        return _load("original", spec.settings(), upstream or bool(spec.recipe.given_mask))
    about = {"dataset": spec.data.name, "arch": spec.recipe.model.arch, "forget": what["forget"]}
    about["prune_rate"] = spec.recipe.pruning["rate"]
    return _load(what["method"], {**about, **settings})


def pasts(store: Store) -> Iterator[Load]:
    """The newest finished runs of the experiment."""
    for entry in ("prune", "unlearn"):
        query = matching({tags.ENTRY: entry}, FINISHED)
        for run in itertools.islice(store.search(query), MOST_PASTS):
            # MLflow's launcher logs parameters as they were typed, so one may be no number.
            with contextlib.suppress(KeyError, ValueError):
                yield _past(run)


def _past(run: MlflowRun) -> Load:
    """A run as a piece of work; KeyError for imported originals."""
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
