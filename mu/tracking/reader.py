"""The one reader of runs: from MLflow's runs to :class:`mu.run_record.RunRecord`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from mlflow.entities import Run as MlflowRun

from mu.errors import UserError
from mu.run_record import RunRecord
from mu.tags import ENTRY
from mu.tracking.artifacts import UNLEARNED, check_network, read
from mu.tracking.store import FINISHED, Store
from mu.tracking.view import run_url


def record_of(store: Store, run: MlflowRun) -> RunRecord:
    """What is known of a run of the store."""
    info, tags = run.info, dict(run.data.tags)
    start, end = info.start_time, info.end_time
    return RunRecord(
        info.run_id,
        tags.get(ENTRY, "-"),
        tags.get("mlflow.runName", ""),
        info.status,
        datetime.fromtimestamp((start or 0) / 1000, UTC).astimezone(),
        (end - start) / 1000 if start and end else None,
        dict(run.data.params),
        dict(run.data.metrics),
        tags,
        run_url(store.uri, info.experiment_id, info.run_id),
        partial(read, store, run),
        lambda run_id: record_of(store, store.run(run_id)),
    )


def records(store: Store, tags: Mapping[str, str], *conditions: str) -> Iterator[RunRecord]:
    """Runs of the experiment with these tags, newest first; see :meth:`Store.find`."""
    return (record_of(store, run) for run in store.find(tags, *conditions))


def read_run(store: Store, run_id: str) -> RunRecord:
    """The run of that ID, or of its first digits, whatever its state.

    UserError if there is none, or several IDs begin so.
    """
    return record_of(store, store.run(store.full_id(run_id)))


def read_unlearned(store: Store, run_id: str, entries: Sequence[str] = UNLEARNED) -> RunRecord:
    """A finished run that has unlearned something, by its ID or the first digits of it.

    ``run_id``: with ``auto`` the newest that is no oracle. ``entries``: that it may be of.
    UserError if there is none, or the run given is none.
    """
    if run_id == "auto":
        for record in unlearned_of(store, entries):
            if not record.is_oracle:
                return record
        raise UserError(
            f"run_id=auto: there is no finished {' or '.join(entries)} run; make one: "
            "mlflow run . -e unlearn"
        )
    run = store.run(store.full_id(run_id))
    entry = run.data.tags.get(ENTRY, "unknown")
    if entry not in entries:
        raise UserError(
            f"run {run.info.run_id} (entry {entry}) has unlearned nothing; give the ID of a run of "
            f"{' or '.join(entries)}"
        )
    check_network(run)
    return record_of(store, run)


def unlearned_of(store: Store, entries: Sequence[str] = UNLEARNED) -> Iterator[RunRecord]:
    """Finished runs that hold a network that has forgotten, newest first within an entry."""
    for entry in entries:
        found = records(store, {ENTRY: entry}, FINISHED)
        yield from (run for run in found if run.holds_network)
