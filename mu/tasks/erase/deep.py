"""The proof by doing it again: the unlearning from the original, whose bits must be the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mu.cli.requests import DeviceOptions
from mu.errors import UserError
from mu.methods.base import unlearn
from mu.tasks.base import make_run
from mu.tasks.erase.statement import NAMES, network
from mu.tasks.listed import ranked
from mu.tasks.resolve import problem_of
from mu.tracking import connect, read_run


def redo(predicate: Mapping[str, Any], data_dir: str | None = None) -> str:
    """Unlearn again as a statement says; gives why the result is another one, or nothing.

    The original, and which records it were, come from the store. On the processor that the
    statement names, and with as many threads, the bits are the same; another one rounds otherwise.
    UserError if the store no longer holds the runs.
    """
    store, action = connect(), predicate["action"]
    for role in ("original", "model"):
        stated, there = action[role], network(store, action[role]["runId"])
        if changed := [name for name in NAMES if stated[name] != there[name]]:
            return f"the {changed[0]} of run {stated['runId']}, the {role}, is not the one stated"
    made = read_run(store, action["model"]["runId"])
    device = DeviceOptions(device="cpu", precision=action["precision"], threads=action["threads"])
    problem = problem_of(store, made, device, data_dir)
    if problem.run_id != action["original"]["runId"]:
        raise UserError(f"run {made.run_id} started from {problem.run_id}, not as is stated")
    checkpoint = copy.deepcopy(problem.checkpoint)
    run = make_run(device, seed=action["seed"])
    method = made.make_method()
    unlearn(method, checkpoint, ranked(lambda: store, method, problem.split), run)
    if checkpoint.fingerprint == action["model"]["weights"]:
        return ""
    here = run.processor
    other = "" if here == action["processor"] else f"; this is another processor ({here})"
    return f"other weights came out ({checkpoint.fingerprint[:16]}){other}"
