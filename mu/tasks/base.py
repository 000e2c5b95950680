"""A task in a run of its own: opened, announced, worked on and closed, once for all entries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from mu.cli.requests import DeviceOptions
from mu.devices import check_device_count
from mu.distributed.place import place
from mu.runs import Run
from mu.tracking import Recorder, Store, remove_progress, tracked

Value = TypeVar("Value")


def run_task(
    store: Store,
    entry: str,
    title: str,
    work: Callable[[Recorder], Value],
    *,
    resume: str | None = None,
    parent: str | None = None,
) -> tuple[str, Value]:
    """Do some work in a run of its own; gives the run's ID, and what ``work`` returned.

    What can be checked is checked before: a run that is open and then fails is FAILED. ``title``:
    the run's name in the runs table. ``work``: called once the run is open; what it writes into the
    recorder's folder is stored. ``resume``, ``parent``: IDs of the interrupted run that is
    continued, and of the run that this one is made for.
    """
    with tracked(store, entry, title, resume=resume, parent=parent) as recorder:
        # At once: it is needed to resume, if this process is killed.
        print(f"{entry} run {recorder.run_id}", file=sys.stderr, flush=True)
        value = work(recorder)
    remove_progress(recorder)
    return recorder.run_id, value


def make_run(device: DeviceOptions, recorder: Recorder | None = None, seed: int = 0) -> Run:
    """Where the work is done; its numbers are logged by ``recorder``, where there is one."""
    return Run(**device.as_dict(), seed=seed, sink=recorder.metrics if recorder else None)


def record_threads(recorder: Recorder, run: Run, *, resumed: bool = False) -> None:
    """Record with how many threads the run computes, once a network is placed.

    A run that is continued keeps the parameter of its first process; a note says what has changed.
    """
    recorder.params({"threads": run.threads})
    if resumed:
        before = recorder.store.run(recorder.run_id).data.params.get("threads")
        if before not in (None, str(run.threads)):
            run.note(
                f"begun with threads={before} and continued with threads={run.threads}: the result "
                "may differ by rounding from that without the interruption"
            )


def device_in_force(device: DeviceOptions) -> dict[str, Any]:
    """The options for a run's configuration, with the number of threads that torch computes with.

    Called while the run is at work, once a network is placed.
    """
    return {**device.as_dict(), "threads": torch.get_num_threads()}


def checked_device(given: DeviceOptions) -> DeviceOptions:
    """The options; UserError if this machine has no such devices."""
    here = place()
    devices = given.devices if here.size == 1 else here.local_size  # of this machine
    check_device_count(given.device, devices, given.sync_bn)
    return given
