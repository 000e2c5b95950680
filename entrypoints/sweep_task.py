"""What a worker of a sweep does: one original, oracle or cell, in a run of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from entrypoints.originals import Order, make_original, order_of_interrupted
from entrypoints.sweep_loads import order_for, upstream_for
from entrypoints.unlearn_again import gone_on_with
from entrypoints.unlearn_job import Job
from entrypoints.unlearn_run import run_job
from mu.cli.originals import DeviceOptions
from mu.distributed.place import place
from mu.errors import UserError
from mu.methods import make_method
from mu.tracking import (
    CELL_TAG,
    ORIGINAL_TAG,
    Stopped,
    Store,
    close_runs_of,
    connect,
    find_progress,
    find_unfinished,
    fingerprint_tag,
    resumable_run,
)


def perform(document: Mapping[str, Any]) -> dict[str, Any]:
    """Do a task; what goes wrong is told, not raised.

    Parameters
    ----------
    document
        As :class:`entrypoints.sweep_work.SweepWork` writes it: plain values only.

    Returns
    -------
    dict
        ``run_id``, ``metrics`` and ``seconds`` (of the whole run), or ``error`` (one line) and
        ``traceback``; in either case ``warnings``, lines that the user should see.
    """
    devices = int(document["device"].get("devices", 1))
    if devices > 1 and place().size == 1:
        return _perform_by(devices, document)
    said = io.StringIO()
    start = time.monotonic()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            answer = _do(document)
        answer["seconds"] = time.monotonic() - start
    except Exception as error:
        line = " ".join(str(error).split()) or type(error).__name__
        named = line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
        answer = {"error": named, "traceback": traceback.format_exc()}
    lines = said.getvalue().splitlines()
    return {**answer, "warnings": [line for line in lines if line.startswith("warning:")]}


def _perform_by(devices: int, document: Mapping[str, Any]) -> dict[str, Any]:
    """:func:`perform`, by so many processes."""
    from mu.distributed.launch import RanksFailedError, call

    try:
        answer: dict[str, Any] = call(perform, dict(document), devices)
        return answer
    except RanksFailedError as error:
        status = "KILLED" if error.stopped else "FAILED"
        store = _store(document["store"], document["experiment"])
        for process in error.processes:
            close_runs_of(store, socket.gethostname(), process, status, str(error))
        if error.stopped:
            signal.raise_signal(signal.Signals(error.status - 128))
        return {"error": str(error), "warnings": []}


def perform_in_worker(document: Mapping[str, Any]) -> dict[str, Any]:
    """:func:`perform`, in a process of its own, which a signal ends once its run is closed."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # of the sweep itself, where the process inherits it
    try:
        return perform(document)
    except Stopped as stopped:
        raise SystemExit(128 + stopped.number) from stopped


def _do(document: Mapping[str, Any]) -> dict[str, Any]:
    store = _store(document["store"], document["experiment"])
    make = _original if document["kind"] == "original" else _unlearning
    return make(store, document)


@lru_cache(maxsize=1)
def _store(uri: str, experiment_id: str) -> Store:
    return replace(connect(uri), experiment_id=experiment_id)


def _original(store: Store, document: Mapping[str, Any]) -> dict[str, Any]:
    order = order_for(
        document["what"]["settings"], DeviceOptions.of(document["device"]), lambda: store
    )
    if fingerprint_tag(order.spec().fingerprint) != document["key"]:
        raise UserError("the data or the mask has changed since the sweep was planned")
    made = make_original(store, _gone_on_with(store, order, document), document["parent"])
    return {"run_id": made.run_id, "metrics": dict(made.metrics)}


def _gone_on_with(store: Store, order: Order, document: Mapping[str, Any]) -> Order:
    """The order; where a run of just that was interrupted, it goes on in that run."""
    for run in find_unfinished(store, "prune", ORIGINAL_TAG, document["key"]):
        run_id = run.info.run_id
        with contextlib.suppress(UserError):  # it is alive, say, or damaged
            if find_progress(store, resumable_run(store, run_id, "prune")) is None:
                return replace(order, resume_run_id=run_id)  # from the beginning
            return order_of_interrupted(store, run_id, document["data"], document["device"])
    return order


def _unlearning(store: Store, document: Mapping[str, Any]) -> dict[str, Any]:
    what = document["what"]
    upstream = upstream_for(
        store, document["original"], what["forget"], document["data"], document["device"]
    )
    if upstream.split.fingerprint != what["forget_set"]:
        raise UserError(f"forget={what['forget']} means other samples than when it was planned")
    method = make_method(what["method"], what["settings"])
    job = Job(upstream, what["method"], method, document["seed"], document["oracle"] or "none")
    unfinished = find_unfinished(store, "unlearn", CELL_TAG, job.tags()[CELL_TAG])
    job = gone_on_with(store, job, unfinished)
    done = run_job(
        store,
        job.title,
        lambda _: job,
        resume=job.resume_run_id,
        parent=document["parent"],
    )
    return {"run_id": done.run_id, "metrics": dict(done.result.metrics)}
