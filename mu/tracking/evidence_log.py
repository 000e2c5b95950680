"""The append-only log of evidence in the store: a line for each erasure, in their order.

A line is the sha256 (hex) of a statement. Each run of ``erase`` holds the log as it was when the
run added its own line: the newest one is all that it takes to read it. Its bundle has the same
lines, with their root, signed if the bundle is; what was changed since is found by that.
"""

from __future__ import annotations

import random
import time

from mlflow.entities import Run as MlflowRun

from mu.errors import UserError
from mu.evidence.bundle import BUNDLE_FOLDER, LOG
from mu.evidence.log import difference, read_log
from mu.tags import ENTRY, LOG_PLACE
from mu.tracking.artifacts import read
from mu.tracking.run_files import RunFiles
from mu.tracking.store import Store

LOG_FILE = "evidence_log.txt"
PAUSE = 0.5  # seconds, at most, before the next try
TRIES = 20  # at a place that another process takes at the same time


def log_lines(store: Store) -> list[str]:
    """The lines of the log, the oldest first; UserError if it was changed, or cannot be read."""
    holders = _holders(store)
    if not holders:
        return []
    newest = max(holders)
    run_id = holders[newest][0].info.run_id
    lines = read(store, holders[newest][0], LOG_FILE).decode(errors="replace").split()
    if len(lines) != newest + 1:
        why = f"has {len(lines)} lines instead of {newest + 1}"
    else:
        why = _changed(store, [holders[place][0] for place in sorted(holders, reverse=True)], lines)
    if why:
        raise UserError(
            f"{LOG_FILE} of run {run_id} {why}: it was changed, so nothing is added; put the file "
            "back as it was"
        )
    return lines


def _changed(store: Store, holders: list[MlflowRun], lines: list[str]) -> str:
    """In what the lines differ from those of the newest bundle; empty if in nothing.

    ``holders``: the newest first; one that was interrupted has no bundle.
    """
    path = f"{BUNDLE_FOLDER}/{LOG}"
    for run in holders:
        if path in store.artifacts(run.info.run_id, BUNDLE_FOLDER):
            where = f"{path} of run {run.info.run_id}"
            try:
                wrong = difference(lines, read_log(read(store, run, path)).lines)
            except ValueError as error:
                raise UserError(
                    f"{where} was changed ({error}), so nothing is added to the log; put the file "
                    "back as it was"
                ) from error
            return f"is not as {where} has it ({wrong})" if wrong else ""
    return ""


def append_line(store: Store, run_id: str, line: str) -> list[str]:
    """Add a line for a run; gives the log with that line as its last one.

    A store that is a file or a database is locked meanwhile. Of two processes that take one place
    of a server's, who comes second gives way; both, if they came at once. UserError as of
    :func:`log_lines`.
    """
    for _ in range(TRIES):
        with store.alone():
            lines = [*log_lines(store), line]
            place = len(lines) - 1
            RunFiles(store, run_id).put(LOG_FILE, "".join(f"{one}\n" for one in lines).encode())
            store.client.set_tag(run_id, LOG_PLACE, str(place))
            taken = [run.info.run_id for run in _holders(store).get(place, [])]
        if taken in ([], [run_id]):
            return lines
        store.client.delete_tag(run_id, LOG_PLACE)
        time.sleep(random.uniform(0, PAUSE))
    raise UserError("the log of evidence is being written to by others all the time; try again")


def _holders(store: Store) -> dict[int, list[MlflowRun]]:
    """Runs that have a place in the log, by it."""
    found: dict[int, list[MlflowRun]] = {}
    for run in store.find({ENTRY: "erase"}):
        if (place := run.data.tags.get(LOG_PLACE, "")).isdigit():
            found.setdefault(int(place), []).append(run)
    return found
