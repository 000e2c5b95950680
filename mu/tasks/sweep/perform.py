"""What a worker of a sweep does: one original, oracle or unlearning, in a run of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
import traceback
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from mu.cli.requests import DataOptions, DeviceOptions
from mu.data.forget_request import ForgetRequest
from mu.distributed.place import place
from mu.errors import UserError
from mu.methods import make_method
from mu.tasks.listed import forget_split
from mu.tasks.perform import perform_task
from mu.tasks.problem import TrackedModel, Unlearned, UnlearningProblem, UnlearnTask
from mu.tasks.prune import train
from mu.tasks.resume import continue_training, continue_unlearning
from mu.tasks.sweep.plan import Task, load_once, original_task
from mu.tracking import (
    Stopped,
    Store,
    close_runs_below,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
)
from mu.trust import allow


@dataclass(frozen=True)
class Job:
    """A task as a worker is given it."""

    task: Task
    tag: tuple[str, str]  # that its run has, finished or not
    original: str | None  # the run that it starts from; None where it makes one
    oracle: str  # the run that it is compared with, or ``none``
    device: DeviceOptions
    uri: str  # of the store
    experiment_id: str
    parent: str  # the sweep's run
    trust: str = ""  # whose functions may be imported, as the sweep's MU_TRUST names them


def perform(job: Job) -> dict[str, Any]:
    """Do a task; a failure is part of the answer, not raised.

    Gives ``run_id``, ``metrics`` and ``seconds`` (of the whole run), or ``error`` (one line) and
    ``traceback``; in either case ``warnings``, lines that the user should see.
    """
    allow(job.trust)  # a worker may be on a machine that knows nothing of the sweep's
    if job.device.devices > 1 and place().size == 1:
        return _perform_by_ranks(job)
    output = io.StringIO()
    start = time.monotonic()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            made = _perform(job)
        seconds = time.monotonic() - start
        answer = {"run_id": made.run_id, "metrics": dict(made.metrics), "seconds": seconds}
    except Exception as error:
        line = " ".join(str(error).split()) or type(error).__name__
        named = line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
        answer = {"error": named, "traceback": traceback.format_exc()}
    lines = output.getvalue().splitlines()
    return {**answer, "warnings": [line for line in lines if line.startswith("warning:")]}


def _perform_by_ranks(job: Job) -> dict[str, Any]:
    """:func:`perform`, by as many processes as the task has devices."""
    from mu.distributed.launch import RanksFailedError, call

    try:
        answer: dict[str, Any] = call(perform, job, job.device.devices)
        return answer
    except RanksFailedError as error:
        status = "KILLED" if error.stopped else "FAILED"
        store = _store(job.uri, job.experiment_id)
        close_runs_below(store, job.parent, status, str(error), job.tag)
        if error.stopped:
            signal.raise_signal(signal.Signals(error.status - 128))
        return {"error": str(error), "warnings": []}


def perform_in_worker(job: Job) -> dict[str, Any]:
    """:func:`perform`, in a process that a signal ends once its run is closed."""
    try:
        return perform(job)
    except Stopped as stopped:
        # At once: executors catch every exception of a task, SystemExit too.
        os._exit(128 + stopped.number)


def _perform(job: Job) -> TrackedModel | Unlearned:
    store, task = _store(job.uri, job.experiment_id), job.task
    if job.original is None:
        return _original(store, job)
    what = task.what
    problem = _problem(store, job.original, what["forget"], task.original.data, job.device)
    if problem.split.fingerprint != what["forget_set"]:
        raise UserError(f"forget={what['forget']} means other samples than when it was planned")
    method = make_method(what["method"], what["settings"])
    work = UnlearnTask(problem, method, task.seed, job.oracle)
    return perform_task(store, continue_unlearning(store, work), job.parent)


def _original(store: Store, job: Job) -> TrackedModel:
    task = original_task(job.task.original.settings, job.device, lambda: store)
    if fingerprint_tag(task.spec().fingerprint) != job.tag[1]:
        raise UserError("the data or the mask has changed since the sweep was planned")
    return train(store, continue_training(store, task), job.parent)


@lru_cache(maxsize=1)
def _store(uri: str, experiment_id: str) -> Store:
    return replace(connect(uri), experiment_id=experiment_id)


@lru_cache(maxsize=1)  # as unlearnings of one original and forget set follow each other
def _problem(
    store: Store, run_id: str, forget: str, data: DataOptions, device: DeviceOptions
) -> UnlearningProblem:
    checkpoint = fetch_checkpoint(store, run_id)
    dataset = checkpoint.spec.data.bind(load_once(data))
    request = ForgetRequest.parse(forget)
    split = forget_split(lambda: store, checkpoint.spec, dataset, request)
    return UnlearningProblem(run_id, checkpoint, dataset, split, forget, device)
