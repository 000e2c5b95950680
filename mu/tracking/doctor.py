"""Closing runs that died: RUNNING in the store, but their process is gone."""

from __future__ import annotations

import time

from mlflow.entities import Run as MlflowRun
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mu.run_record import RunRecord
from mu.tags import HOST, PID
from mu.tracking.lease import HEARTBEAT_SECONDS, is_here, seconds_silent, state_of
from mu.tracking.reader import record_of
from mu.tracking.store import RUNNING, Store

# Of MLproject. The launcher's runs of other projects say nothing of their process.
ENTRY_POINTS = (
    *("prune", "unlearn", "backdoor", "lira", "evaluate"),
    *("transfer", "erase", "compare", "claims", "sweep", "tune", "dataset", "export"),
)


def close_dead_runs(
    store: Store, orphan_hours: float, gone: str | None = None
) -> list[tuple[RunRecord, str]]:
    """Close the RUNNING runs of the experiment that are dead; all RUNNING ones with their verdict.

    ``orphan_hours``: see :func:`verdict_of`. ``gone``: name of a host that is known to be gone:
    those of its runs that give no sign of life are dead, too.
    """
    found = []
    for run in list(store.search(RUNNING)):  # closing one moves the pages
        verdict = verdict_of(run, orphan_hours)
        if verdict == "elsewhere" and _is_gone(run, gone):
            verdict = "dead"
        if verdict == "dead":
            if store.run(run.info.run_id).info.status != "RUNNING":
                continue  # it ended by itself in the meantime
            store.close(run.info.run_id, "FAILED", "its process was gone")
        found.append((record_of(store, run), verdict))
    return found


def _is_gone(run: MlflowRun, host: str | None) -> bool:
    silent = seconds_silent(run.data.tags)
    is_silent = silent is None or silent > 2 * HEARTBEAT_SECONDS
    return run.data.tags[HOST] == host and is_silent


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
    """End the runs that a process of this machine had open, as FAILED or KILLED: it is gone."""
    for run in list(store.find({HOST: host, PID: str(pid)}, RUNNING)):
        if not is_here(run.data.tags):
            continue
        store.close(run.info.run_id, status, reason)


def verdict_of(run: MlflowRun, orphan_hours: float) -> str:
    """What has become of the process of a RUNNING run.

    As :func:`mu.tracking.lease.state_of` says, or ``unknown``. ``orphan_hours``: a run that
    MLflow's launcher opened, and whose program never started, is dead when it is older than this.
    """
    tags = run.data.tags
    if (state := state_of(tags)) is not None:
        return state
    hours = (time.time() - run.info.start_time / 1000) / 3600
    launched = tags.get("mlflow.project.entryPoint") in ENTRY_POINTS
    return "dead" if launched and hours > orphan_hours else "unknown"
