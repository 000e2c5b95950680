"""The append-only log of evidence in the store: a line for each erasure, in their order.

A line is the sha256 (hex) of a statement. Each run of ``erase`` holds the log as it was when the
run added its own line: the newest one is all that it takes to read it, and an older one shows
whether anything was changed.
"""

from __future__ import annotations

import random
import time

from mlflow.entities import Run as MlflowRun

from mu.errors import UserError
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
    run = holders[newest][0]
    lines = read(store, run, LOG_FILE).decode(errors="replace").split()
    if len(lines) != newest + 1:
        raise UserError(
            f"{LOG_FILE} of run {run.info.run_id} has {len(lines)} lines instead of {newest + 1}: "
            "it was changed, so nothing is added; put the file back as it was"
        )
    return lines


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
