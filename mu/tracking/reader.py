"""Earlier runs found, and read: from MLflow's runs to :class:`mu.run_record.RunRecord`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from mlflow.entities import Run as MlflowRun

from mu.data.wrong_label_options import WrongLabelOptions
from mu.errors import UserError
from mu.run_record import RunRecord
from mu.tags import (
    DATA,
    ENTRY,
    ORACLE_KEY,
    POISON,
    RETIRED,
    SPEC,
    SUSPECTS,
    TRIAL,
    fingerprint_tag,
)
from mu.tracking.artifacts import UNLEARNED, check_network, read
from mu.tracking.registered import run_of
from mu.tracking.store import FINISHED, Store
from mu.tracking.system_metrics import PREFIX as SYSTEM_METRICS
from mu.tracking.view import run_url

Finds = Callable[[str], RunRecord]

# Lists of samples that runs hold: the tag that tells such a run, and its value if it matters; what
# is listed; and the remedy where there is none.
LISTS = {
    "suspects": (
        SUSPECTS, None, "suspects",
        "make one: mlflow run . -e evaluate -P run_id=ORIGINAL -P suspects=spectral",
    ),
    "vulnerable": (
        ENTRY, "lira", "memorised samples", "make one: mlflow run . -e lira -P unlearn_run_id=ID",
    ),
}  # fmt: skip


def record_of(store: Store, run: MlflowRun, finds: Finds | None = None) -> RunRecord:
    """What is known of a run of the store; ``finds`` reads the runs that it names."""
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
        {name: v for name, v in run.data.metrics.items() if not name.startswith(SYSTEM_METRICS)},
        tags,
        run_url(store.pages or store.uri, info.experiment_id, info.run_id),
        partial(read, store, run),
        finds or _reads_once(store),
        artifacts=str(info.artifact_uri),
    )


def records(store: Store, tags: Mapping[str, str], *conditions: str) -> Iterator[RunRecord]:
    """Runs of the experiment with these tags, newest first; see :meth:`Store.find`."""
    finds = _reads_once(store)  # many are of few originals and oracles
    return (record_of(store, run, finds) for run in store.find(tags, *conditions))


def _reads_once(store: Store) -> Finds:
    """What reads a run by its ID, each once."""

    @cache
    def finds(run_id: str) -> RunRecord:
        return record_of(store, store.run(run_id), finds)

    return finds


def read_run(store: Store, run_id: str) -> RunRecord:
    """The run of that ID, or of its first digits, or of a registered version; whatever its state.

    UserError as of :func:`mu.tracking.registered.run_of`.
    """
    return record_of(store, store.run(run_of(store, run_id)))


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
    run = store.run(run_of(store, run_id))
    entry = run.data.tags.get(ENTRY, "unknown")
    if entry not in entries:
        raise UserError(
            f"run {run.info.run_id} (entry {entry}) has unlearned nothing; give the ID of a run of "
            f"{' or '.join(entries)}"
        )
    check_network(run)
    return record_of(store, run)


def read_list(store: Store, run_id: str, kind: str, data: str) -> RunRecord:
    """A finished run that holds a list of samples, by its ID or the first digits of it.

    ``kind``: of the list, one of :data:`LISTS`. ``data``: fingerprint of the data that it must be
    of. UserError if there is none, or it is of other data.
    """
    record = read_run(store, run_id)
    tag, value, words, make_one = LISTS[kind]
    if tag not in record.tags or value not in (None, record.tags[tag]):
        raise UserError(
            f"run {record.run_id} (entry {record.entry}) holds no list of {words}; {make_one}"
        )
    if record.status != "FINISHED":
        raise UserError(
            f"run {record.run_id} is {record.status}, so its list of {words} is not taken; "
            f"{make_one}"
        )
    if record.tags.get(DATA) != fingerprint_tag(data):
        raise UserError(
            f"the {words} of run {record.run_id} are of other data (fingerprint "
            f"{record.tags.get(DATA)}, not {fingerprint_tag(data)}); {make_one}"
        )
    return record


def unlearned_of(store: Store, entries: Sequence[str] = UNLEARNED) -> Iterator[RunRecord]:
    """Finished runs that hold a network that has forgotten, newest first within an entry.

    Without trials of settings: there are many, and which is best was chosen by its result.
    """
    for entry in entries:
        found = records(store, {ENTRY: entry}, FINISHED)
        yield from (run for run in found if run.holds_network and TRIAL not in run.tags)


def find_original(
    store: Store, given: Mapping[str, Any], data: str | None = None, *, poisoned: bool = False
) -> MlflowRun | None:
    """The newest finished prune run of the experiment whose parameters agree with ``given``.

    ``given``: what the user gave explicitly, by the names of ``prune``'s parameters; what was not
    given may be anything. ``data``: fingerprint of the data that it must have been trained on,
    where that was given. ``poisoned``: whether these must have been poisoned, or must not. Planted
    wrong labels are only in originals for which they were given. What an erasure retired is not
    taken: it holds records that were to be forgotten.
    """
    wanted = {ENTRY: "prune"} | ({} if data is None else {DATA: fingerprint_tag(data)})
    for run in store.find(wanted, FINISHED):
        params, tags = run.data.params, run.data.tags
        if SPEC not in tags or RETIRED in tags or (POISON in tags) != poisoned:
            continue
        if any(name in params and name not in given for name in WrongLabelOptions.names()):
            continue
        if all(same_value(params.get(name), value) for name, value in given.items()):
            return run
    return None


def find_oracle(store: Store, key: str, but: str | None = None) -> MlflowRun | None:
    """The newest finished Retrain run of the experiment with this oracle key.

    ``but``: a run that is passed over.
    """
    found = store.find({ORACLE_KEY: key}, FINISHED)
    return next((run for run in found if run.info.run_id != but), None)


def same_value(logged: str | None, given: Any) -> bool:
    """Whether a logged parameter, in whatever spelling, means the value given."""
    if logged is None:
        return False
    if isinstance(given, bool):
        return logged.lower() in (("true", "1") if given else ("false", "0"))
    if isinstance(given, int | float):
        try:
            return float(logged) == float(given)
        except ValueError:
            return False
    return logged == ("none" if given is None else str(given))
