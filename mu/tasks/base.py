"""A task in a run of its own: opened, announced, worked on and closed, once for all entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mu.cli.requests import DeviceOptions
from mu.devices import check_device_count
from mu.distributed.place import place
from mu.report.console import say
from mu.runs import Run
from mu.tags import PRECISION, PROCESSOR, REGISTER
from mu.tracking import Recorder, Store, remove_progress, tracked
from mu.tracking.registered import register_as_asked

Value = TypeVar("Value")


def run_task(
    store: Store,
    entry: str,
    title: str,
    work: Callable[[Recorder], Value],
    *,
    resume: str | None = None,
    parent: str | None = None,
    register: str | None = None,
) -> tuple[str, Value]:
    """Do some work in a run of its own; gives the run's ID, and what ``work`` returned.

    What can be checked is checked before: a run that is open and then fails is FAILED. ``title``:
    the run's name in the runs table. ``work``: called once the run is open; what it writes into the
    recorder's folder is stored. ``resume``, ``parent``: IDs of the interrupted run that is
    continued, and of the run that this one is made for. ``register``: name of the registered model
    that the run's network is to be a version of; a run that is continued has what it was given.
    """
    with tracked(store, entry, title, resume=resume, parent=parent) as recorder:
        # At once: it is needed to resume, if this process is killed.
        say(f"{entry} run {recorder.run_id}", error=True)
        recorder.tags({REGISTER: register})
        value = work(recorder)
    remove_progress(recorder)
    if register or resume:
        register_as_asked(store, recorder.run_id)
    return recorder.run_id, value


def make_run(device: DeviceOptions, recorder: Recorder | None = None, seed: int = 0) -> Run:
    """Where the work is done; its numbers are logged by ``recorder``, where there is one."""
    return Run(**device.as_dict(), seed=seed, sink=recorder.metrics if recorder else None)


def record_rounding(recorder: Recorder, run: Run, *, resumed: bool = False) -> None:
    """Record what decides how the run's sums are rounded, once a network is placed.

    That is the number of threads, the precision and the kind of processor. A run that is continued
    keeps what its first process recorded; a note says what has changed.
    """
    now = {"threads": str(run.threads), "precision": run.precision, "processor": run.processor}
    recorder.params({name: now[name] for name in ("threads", "precision")})
    first = now
    if resumed:
        data = recorder.store.run(recorder.run_id).data
        # Not by the parameter, where MLflow's launcher may have logged what was typed: auto.
        before = {"precision": PRECISION, "processor": PROCESSOR}
        found = {name: data.tags.get(tag) for name, tag in before.items()}
        found["threads"] = data.params.get("threads")
        first = {name: found[name] or value for name, value in now.items()}
    recorder.tags({PRECISION: first["precision"], PROCESSOR: first["processor"]})
    for name, value in first.items():
        if value != now[name]:
            run.note(
                f"begun with {name}={value} and continued with {name}={now[name]}: the result "
                "may differ by rounding from that without the interruption"
            )


def device_in_force(device: DeviceOptions, run: Run) -> dict[str, Any]:
    """The options for a run's configuration, with the threads and the precision of its work."""
    return {**device.as_dict(), "threads": run.threads, "precision": run.precision}


def checked_device(given: DeviceOptions) -> DeviceOptions:
    """The options; UserError if this machine has no such devices."""
    here = place()
    devices = given.devices if here.size == 1 else here.local_size  # of this machine
    check_device_count(given.device, devices, given.sync_bn)
    return given
