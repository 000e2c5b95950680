"""What a worker of a sweep does: one original, oracle or unlearning, in a run of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mu.cli.requests import DataOptions, DeviceOptions
from mu.data.forget import ForgetRequest
from mu.distributed.place import place
from mu.errors import UserError
from mu.methods import make_method
from mu.tags import ENTRY
from mu.tasks.perform import perform as perform_unlearning
from mu.tasks.problem import UnlearningProblem, UnlearnTask
from mu.tasks.prune import train
from mu.tasks.resolve import forget_split
from mu.tasks.resume import continue_training, continue_unlearning
from mu.tasks.sweep.find import Results, oracle_of
from mu.tasks.sweep.plan import Task, load_once, original_task
from mu.tracking import (
    UNFINISHED,
    Stopped,
    Store,
    close_runs_below,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
)

Document = Mapping[str, Any]  # JSON-ready


def document_of(task: Task, results: Results) -> dict[str, Any]:
    """A task as a worker is given it, by the results of what it needs."""
    settings, spec = task.original.settings, task.original.spec.data
    data = {name: settings[name] for name in DataOptions.names() if name in settings}
    if settings.get("mask_run_id"):  # what is not given is as in that run
        found = {"dataset": spec.name, "data_dir": spec.data_dir, "image_size": spec.image_size}
        data = {**found, **data}
    return {
        "what": dict(task.what),
        "data": data,
        "seed": task.seed if task.needs else None,
        "original": results[task.needs[0]]["run_id"] if task.needs else None,
        "oracle": oracle_of(task, results) or "none",
    }


def perform(document: Document) -> dict[str, Any]:
    """Do a task; a failure is part of the answer, not raised.

    Gives ``run_id``, ``metrics`` and ``seconds`` (of the whole run), or ``error`` (one line) and
    ``traceback``; in either case ``warnings``, lines that the user should see.
    """
    devices = int(document.get("device", {}).get("devices", 1))
    if devices > 1 and place().size == 1:
        return _perform_by(devices, document)
    output = io.StringIO()
    start = time.monotonic()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            answer = {**_perform(document), "seconds": time.monotonic() - start}
    except Exception as error:
        line = " ".join(str(error).split()) or type(error).__name__
        named = line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
        answer = {"error": named, "traceback": traceback.format_exc()}
    lines = output.getvalue().splitlines()
    return {**answer, "warnings": [line for line in lines if line.startswith("warning:")]}


def _perform_by(devices: int, document: Document) -> dict[str, Any]:
    """:func:`perform`, by so many processes."""
    from mu.distributed.launch import RanksFailedError, call

    try:
        answer: dict[str, Any] = call(perform, dict(document), devices)
        return answer
    except RanksFailedError as error:
        status = "KILLED" if error.stopped else "FAILED"
        store = _store(document["store"], document["experiment"])
        close_runs_below(store, document["parent"], status, str(error), document["tag"])
        if error.stopped:
            signal.raise_signal(signal.Signals(error.status - 128))
        return {"error": str(error), "warnings": []}


def perform_in_worker(document: Document) -> dict[str, Any]:
    """:func:`perform`, in a process that a signal ends once its run is closed."""
    try:
        return perform(document)
    except Stopped as stopped:
        # At once: executors catch every exception of a task, SystemExit too.
        os._exit(128 + stopped.number)


def _perform(document: Document) -> dict[str, Any]:
    """The task itself, from plain values to plain values."""
    store = _store(document["store"], document["experiment"])
    return (_unlearned if document["original"] else _original)(store, document)


@lru_cache(maxsize=1)
def _store(uri: str, experiment_id: str) -> Store:
    return replace(connect(uri), experiment_id=experiment_id)


# --- originals ----------------------------------------------------------------------------


def _original(store: Store, document: Document) -> dict[str, Any]:
    device, settings = DeviceOptions.of(document["device"]), document["what"]["settings"]
    task = original_task(settings, device, lambda: store)
    tag, key = document["tag"]
    if fingerprint_tag(task.spec().fingerprint) != key:
        raise UserError("the data or the mask has changed since the sweep was planned")
    unfinished = store.find({tag: key, ENTRY: "prune"}, UNFINISHED)
    task = continue_training(store, task, unfinished)
    made = train(store, task, document["parent"])
    return {"run_id": made.run_id, "metrics": dict(made.metrics)}


# --- oracles and other unlearnings --------------------------------------------------------


def _unlearned(store: Store, document: Document) -> dict[str, Any]:
    what = document["what"]
    data, device = json.dumps(document["data"]), json.dumps(document["device"])
    problem = _problem(store, document["original"], what["forget"], data, device)
    if problem.split.fingerprint != what["forget_set"]:
        raise UserError(f"forget={what['forget']} means other samples than when it was planned")
    method = make_method(what["method"], what["settings"])
    task = UnlearnTask(problem, method, document["seed"], document["oracle"])
    tag, key = document["tag"]
    unfinished = store.find({tag: key, ENTRY: "unlearn"}, UNFINISHED)
    task = continue_unlearning(store, task, unfinished)
    done = perform_unlearning(
        store, task.title, lambda _: task, resume=task.resume_run_id, parent=document["parent"]
    )
    return {"run_id": done.run_id, "metrics": dict(done.metrics)}


@lru_cache(maxsize=1)  # as unlearnings of one original and forget set follow each other
def _problem(store: Store, run_id: str, forget: str, data: str, device: str) -> UnlearningProblem:
    checkpoint = fetch_checkpoint(store, run_id)
    dataset = checkpoint.spec.data.bind(load_once(data))
    split = forget_split(checkpoint.spec, dataset, ForgetRequest.parse(forget))
    where = DeviceOptions.of(json.loads(device))
    return UnlearningProblem(run_id, checkpoint, dataset, split, forget, where)
