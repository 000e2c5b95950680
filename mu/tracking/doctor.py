"""Closing runs that died: RUNNING in the store, but their process is gone."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import psutil
from mlflow.entities import Run as MlflowRun

from mu.tracking.store import Store

DEAD = "FAILED"


@dataclass(frozen=True)
class Finding:
    """A RUNNING run and what became of it.

    Parameters
    ----------
    verdict
        ``alive``, ``dead`` (its process is gone: it was closed as FAILED), ``elsewhere`` (it
        runs, or ran, on another machine) or ``unknown`` (nothing says which process it was).
    """

    run_id: str
    name: str
    entry: str
    verdict: str
    host: str


def close_dead_runs(store: Store, orphan_hours: float) -> list[Finding]:
    """Look at every RUNNING run of the experiment and close those that are dead.

    Parameters
    ----------
    orphan_hours
        A run that MLflow's launcher opened, and whose program never started, is dead when it is
        older than this.
    """
    findings = []
    for run in store.search("attributes.status = 'RUNNING'"):
        verdict = _verdict(run, orphan_hours)
        if verdict == "dead":
            store.client.set_tag(run.info.run_id, "mu.error", "its process was gone")
            store.client.set_terminated(run.info.run_id, DEAD)
        tags = run.data.tags
        findings.append(
            Finding(
                run.info.run_id,
                run.info.run_name or "",
                tags.get("mu.entry") or tags.get("mlflow.project.entryPoint", "?"),
                verdict,
                tags.get("mu.host", ""),
            )
        )
    return findings


def _verdict(run: MlflowRun, orphan_hours: float) -> str:
    tags = run.data.tags
    if "mu.pid" not in tags:
        hours = (time.time() - run.info.start_time / 1000) / 3600
        launched = "mlflow.project.entryPoint" in tags
        return "dead" if launched and hours > orphan_hours else "unknown"
    if tags["mu.host"] != socket.gethostname():
        return "elsewhere"
    try:
        started = psutil.Process(int(tags["mu.pid"])).create_time()
    except psutil.NoSuchProcess:
        return "dead"
    # A process number is used again; the time of its start tells them apart.
    return "alive" if abs(started - float(tags["mu.process_start"])) < 1 else "dead"
