"""Closing runs that died: RUNNING in the store, but their process is gone."""

from __future__ import annotations

import socket
import time

import psutil
from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mu.run_record import RunRecord
from mu.tags import HOST, PID, PROCESS_START
from mu.tracking.reader import record_of
from mu.tracking.store import RUNNING, Store

# Of MLproject. The launcher's runs of other projects say nothing of their process.
ENTRY_POINTS = (
    *("prune", "unlearn", "backdoor", "lira", "evaluate"),
    *("transfer", "compare", "sweep", "dataset"),
)
_CLOCK_SECONDS = 10  # by which the start of a process may seem to move when the clock is set


def close_dead_runs(store: Store, orphan_hours: float) -> list[tuple[RunRecord, str]]:
    """Close the RUNNING runs of the experiment that are dead; all RUNNING ones with their verdict.

    ``orphan_hours``: see :func:`verdict_of`.
    """
    found = []
    for run in list(store.search(RUNNING)):  # closing one moves the pages
        verdict = verdict_of(run, orphan_hours)
        if verdict == "dead":
            if store.run(run.info.run_id).info.status != "RUNNING":
                continue  # it ended by itself in the meantime
            store.close(run.info.run_id, "FAILED", "its process was gone")
        found.append((record_of(store, run), verdict))
    return found


def close_runs_below(
    store: Store, parent: str, status: str, reason: str, tag: tuple[str, str] | None = None
) -> None:
    """Close the runs below a run whose processes are gone, as FAILED or KILLED.

    ``tag``: name and value of a tag. Of runs on other machines, where nothing shows whether a
    process is there, only those with this tag are closed. None closes all of them.
    """
    for run in list(store.find({MLFLOW_PARENT_RUN_ID: parent}, RUNNING)):  # closing moves pages
        verdict = verdict_of(run, orphan_hours=0)
        known = tag is None or run.data.tags.get(tag[0]) == tag[1]
        if verdict == "dead" or (verdict == "elsewhere" and known):
            store.close(run.info.run_id, status, reason)


def close_runs_of(store: Store, host: str, pid: int, status: str, reason: str) -> None:
    """End the runs that a process which is known to be gone had open, as FAILED or KILLED."""
    for run in list(store.find({HOST: host, PID: str(pid)}, RUNNING)):
        store.close(run.info.run_id, status, reason)


def verdict_of(run: MlflowRun, orphan_hours: float) -> str:
    """What has become of the process of a RUNNING run.

    ``alive``, ``dead``, ``elsewhere`` (it runs, or ran, on another machine) or ``unknown`` (nothing
    says which process it was). ``orphan_hours``: a run that MLflow's launcher opened, and whose
    program never started, is dead when it is older than this.
    """
    tags = run.data.tags
    try:
        pid, started, host = int(tags[PID]), float(tags[PROCESS_START]), tags[HOST]
    except (KeyError, ValueError):
        hours = (time.time() - run.info.start_time / 1000) / 3600
        launched = tags.get("mlflow.project.entryPoint") in ENTRY_POINTS
        return "dead" if launched and hours > orphan_hours else "unknown"
    if host != socket.gethostname():
        return "elsewhere"
    try:
        process = psutil.Process(pid)
        # A process number is used again; the time of its start tells them apart.
        same = abs(process.create_time() - started) < _CLOCK_SECONDS
        return "alive" if same and process.status() != psutil.STATUS_ZOMBIE else "dead"
    except psutil.NoSuchProcess:
        return "dead"
    except psutil.AccessDenied:  # of another user, so there is one
        return "alive"
