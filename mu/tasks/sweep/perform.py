"""What a worker of a sweep does: one original, oracle or cell, in a run of its own."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mu.cli.requests import DeviceOptions
from mu.errors import UserError
from mu.methods import make_method
from mu.tasks.perform import perform as perform_unlearning
from mu.tasks.problem import UnlearnTask
from mu.tasks.prune import train
from mu.tasks.resume import continue_training, continue_unlearning
from mu.tasks.sweep.loads import order_for, upstream_for
from mu.tracking import (
    CELL_TAG,
    ORIGINAL_TAG,
    Stopped,
    Store,
    connect,
    find_unfinished,
    fingerprint_tag,
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
    task = order_for(
        document["what"]["settings"], DeviceOptions.of(document["device"]), lambda: store
    )
    key = fingerprint_tag(task.spec().fingerprint)
    if key != document["key"]:
        raise UserError("the data or the mask has changed since the sweep was planned")
    unfinished = find_unfinished(store, "prune", ORIGINAL_TAG, key)
    made = train(store, continue_training(store, task, unfinished), document["parent"])
    return {"run_id": made.run_id, "metrics": dict(made.metrics)}


def _unlearning(store: Store, document: Mapping[str, Any]) -> dict[str, Any]:
    what = document["what"]
    problem = upstream_for(
        store, document["original"], what["forget"], document["data"], document["device"]
    )
    if problem.split.fingerprint != what["forget_set"]:
        raise UserError(f"forget={what['forget']} means other samples than when it was planned")
    method = make_method(what["method"], what["settings"])
    seed, oracle = document["seed"], document["oracle"] or "none"
    task = UnlearnTask(problem, what["method"], method, seed, oracle)
    unfinished = find_unfinished(store, "unlearn", CELL_TAG, task.tags()[CELL_TAG])
    task = continue_unlearning(store, task, unfinished)
    done = perform_unlearning(
        store, task.title, lambda _: task, resume=task.resume_run_id, parent=document["parent"]
    )
    return {"run_id": done.run_id, "metrics": dict(done.result.metrics)}
