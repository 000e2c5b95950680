"""Runs as plain values: what is listed and shown of them, without MLflow's own objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mu.errors import UserError
from mu.tracking.choosing import tasks_of
from mu.tracking.lineage import ORACLE_TAG
from mu.tracking.store import Store

FEWEST_DIGITS = 4  # of an ID that is shortened
WHOLE = 32  # digits


@dataclass(frozen=True)
class Record:
    """One run.

    Parameters
    ----------
    entry
        The entry point that it is of; ``-`` of others.
    started
        In the time zone of this machine.
    seconds
        How long it took, or None while it lasts.
    """

    run_id: str
    entry: str
    name: str
    status: str
    started: datetime
    seconds: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def is_oracle(self) -> bool:
        """Whether others can be compared with it."""
        return ORACLE_TAG in self.tags

    @property
    def links(self) -> dict[str, str]:
        """IDs of the runs that it names, by role: ``upstream``, ``oracle``, ``parent``."""
        names = {"upstream": "mu.upstream", "oracle": "mu.oracle", "parent": MLFLOW_PARENT_RUN_ID}
        return {role: self.tags[tag] for role, tag in names.items() if tag in self.tags}


def record_of(run: MlflowRun) -> Record:
    """What is kept of a run."""
    info, tags = run.info, dict(run.data.tags)
    start, end = info.start_time, info.end_time
    return Record(
        info.run_id,
        tags.get("mu.entry", "-"),
        tags.get("mlflow.runName", ""),
        info.status,
        datetime.fromtimestamp((start or 0) / 1000, UTC).astimezone(),
        (end - start) / 1000 if start and end else None,
        dict(run.data.params),
        dict(run.data.metrics),
        tags,
    )


def records(store: Store, query: str = "", most: int | None = None) -> Iterator[Record]:
    """Runs of the experiment that match MLflow's ``query``, newest first, at most so many."""
    return map(record_of, islice(store.search(query), most))


def find_record(store: Store, run_id: str) -> Record:
    """The run of that ID, or of its first digits.

    Raises
    ------
    UserError
        If there is none, or several begin so.
    """
    if len(run_id) >= WHOLE:
        return record_of(store.run(run_id))
    if len(run_id) < FEWEST_DIGITS:
        raise UserError(f"run {run_id!r}: give at least {FEWEST_DIGITS} digits of its ID")
    found = [one for one in records(store) if one.run_id.startswith(run_id)]
    if not found:
        raise UserError(
            f"no run of the experiment begins with {run_id!r}; `mu runs` lists them, and "
            "MLFLOW_TRACKING_URI names the store"
        )
    if len(found) > 1:
        ids = ", ".join(one.run_id for one in found[:3])
        raise UserError(f"{len(found)} runs begin with {run_id!r} ({ids}, ...); give more digits")
    return found[0]


def derived(store: Store, run_id: str) -> list[Record]:
    """Runs that started from a run, are shown below it, or are tasks of it, newest first."""
    found: dict[str, Record] = {}
    for tag in ("mu.upstream", MLFLOW_PARENT_RUN_ID):
        found |= {one.run_id: one for one in records(store, f"tags.`{tag}` = '{run_id}'")}
    for task in tasks_of(store, store.run(run_id)):  # of a sweep, which found some made already
        found.setdefault(task.info.run_id, record_of(task))
    return sorted(found.values(), key=lambda one: one.started, reverse=True)
