"""An interrupted unlearn run: what it was asked to do, and how far it came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from entrypoints.found_originals import data_of, fetch_original, refuse_contradictions
from entrypoints.unlearn_job import Job, Upstream
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetSplit
from mu.errors import UserError
from mu.methods import check_method, make_method
from mu.tracking import (
    ORACLE_TAG,
    Store,
    connect,
    fetch_job,
    find_progress,
    interrupted_oracles,
    resumable_run,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

    from entrypoints.backdoor import BackdoorOptions
    from entrypoints.unlearn import UnlearnOptions


def method_of_interrupted(run_id: str, entry: str = "unlearn") -> str:
    """The method of an interrupted run: its options are those that the command has.

    Raises
    ------
    UserError
        If the run cannot be resumed.
    """
    store = connect()
    return check_method(fetch_job(store, resumable_run(store, run_id, entry))["method"])


def job_of_interrupted(
    store: Store,
    run_id: str,
    options: UnlearnOptions | BackdoorOptions,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any],
    device: Mapping[str, Any],
    entry: str = "unlearn",
) -> Job:
    """What an interrupted run was asked to do, and how far it came.

    Parameters
    ----------
    options, settings, asked, device
        See :func:`entrypoints.unlearn.unlearn`.
    entry
        That the run must be of.

    Raises
    ------
    UserError
        If it cannot be resumed, or what is given contradicts how it was started.
    """
    run = resumable_run(store, run_id, entry)
    kept = fetch_job(store, run)
    checkpoint = fetch_original(store, kept["prune_run_id"], asked)
    method = make_method(kept["method"], kept["settings"])
    said = {**_said(options), **settings, **{n: v for n, v in device.items() if n == "precision"}}
    beside = kept.get("beside", {})
    refuse_contradictions(run_id, {**kept, **beside, **method.in_force(checkpoint)}, said)
    dataset = data_of(checkpoint.spec, {"data_dir": asked.get("data_dir") or kept["data_dir"]})
    forget = np.array(kept["indices"], np.int64)
    upstream = Upstream(
        kept["prune_run_id"],
        checkpoint,
        dataset,
        ForgetSplit.of(dataset, checkpoint.spec.split(dataset), forget),
        kept["forget"],
        DeviceOptions.of({**device, "precision": kept["precision"]}),
    )
    job = Job(upstream, kept["method"], method, kept["seed"], kept["oracle_run_id"], beside)
    return _gone_on_with(store, run, job)


def _said(options: UnlearnOptions | BackdoorOptions) -> dict[str, Any]:
    """What was asked for; MLflow's launcher always gives the defaults, so they ask for nothing."""
    defaults = type(options)().as_dict()
    said = {n: v for n, v in options.as_dict().items() if v != defaults[n] and n != "resume_run_id"}
    return {name: check_method(v) if name == "method" else v for name, v in said.items()}


def oracle_gone_on_with(store: Store, job: Job) -> Job:
    """The job of an oracle; where a run of just that was interrupted, it goes on in that run."""
    return gone_on_with(store, job, interrupted_oracles(store, job.tags()[ORACLE_TAG]))


def gone_on_with(store: Store, job: Job, runs: Iterable[MlflowRun]) -> Job:
    """The job; where one of ``runs`` is just that, and was interrupted, it goes on in that run."""
    for run in runs:
        try:
            found = resumable_run(store, run.info.run_id, "unlearn")
            if {**fetch_job(store, found), "data_dir": None} == {**job.as_dict(), "data_dir": None}:
                return _gone_on_with(store, found, job)
        except UserError:  # it is still alive, say, or damaged
            continue
    return job


def _gone_on_with(store: Store, run: MlflowRun, job: Job) -> Job:
    """The job from where an interrupted run of it stands."""
    run_id = run.info.run_id
    progress, about = find_progress(store, run) or (None, job.about())
    if about != job.about():
        raise UserError(
            f"run {run_id} cannot be resumed: the progress in it is of another job; start it anew"
        )
    return replace(job, progress=progress, resume_run_id=run_id)
