"""The entry sweep: plan, say what it means, have it made, show what came of it."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from mu import tags, trust
from mu.cli.options import Group
from mu.cli.requests import MOST_RUNS, DeviceOptions, Request, SweepOptions
from mu.devices import pick_device
from mu.distributed.place import shares
from mu.errors import UserError
from mu.report import console
from mu.report.run_names import run_name
from mu.tasks.base import checked_device, run_task
from mu.tasks.outputs import write_text
from mu.tasks.sweep.engines import Engine
from mu.tasks.sweep.engines.processes import Processes
from mu.tasks.sweep.find import Finder, Result, Results, estimate, load_of, oracle_of, pasts
from mu.tasks.sweep.grid import Grid, load_yaml, read_grid
from mu.tasks.sweep.perform import Job, perform, perform_in_worker
from mu.tasks.sweep.plan import KINDS, Plan, Task, plan_digest, plan_of, typed
from mu.tasks.sweep.recheck import chosen, compared
from mu.tasks.sweep.recheck import report as recheck
from mu.tasks.sweep.report import Board, Estimates, failures, print_plan, report
from mu.tasks.sweep.schedule import Schedule, drive
from mu.tasks.sweep.workers import jobs_on_cpu
from mu.tracking import (
    UNFINISHED,
    Recorder,
    Store,
    browse,
    close_runs_below,
    connect,
    fetch_document,
    keep_document,
    resumable_run,
)
from mu.tracking.artifacts import trusted_by
from mu.trust import from_file


@dataclass(frozen=True)
class Sweep:
    """A sweep that is to be made."""

    store: Store
    options: SweepOptions
    document: Mapping[str, Any]  # to resume it: the grid's text, what was given of the device
    device: DeviceOptions  # by the grid and the command line, which wins
    plan: Plan
    found: Results  # of what is finished already
    estimates: Estimates  # of the others


def sweep(request: Request) -> None:
    """Make every combination of originals, forget sets, methods and seeds of a grid file."""
    options = SweepOptions.of(request.entry)
    if options.engine == "ray" and find_spec("ray") is None:
        raise UserError(
            'engine=ray: Ray is not installed; pip install "mu-unlearning[ray]", or give '
            "engine=processes"
        )
    planned = _planned(options, request.device)
    print_plan(planned.plan, planned.estimates)
    if options.recheck is not None:
        _recheck(planned, options.recheck)
        return
    if options.dry_run:
        return
    if (count := len(planned.estimates)) > MOST_RUNS and not options.yes:
        raise UserError(
            f"this grid makes {count} runs, which is more than {MOST_RUNS}; give yes=true if that "
            "is meant"
        )
    _make(planned, _interrupted(planned))


def _planned(options: SweepOptions, given: Mapping[str, Any]) -> Sweep:
    """Check everything, and find what is finished already; opens no run."""
    store = lru_cache(connect)  # only once all that can be checked without it is
    text, trusts = None if options.grid is None else read_grid(options.grid), None
    if options.resume_run_id is not None:
        interrupted = resumable_run(store(), options.resume_run_id, "sweep")
        kept = fetch_document(store(), interrupted)
        trusts = trusted_by(interrupted) if text is None else None
        text, given = text or kept["grid"], {**kept["device"], **given}
    assert text is not None
    grid = Grid.of(load_yaml(text, options.grid or "of the interrupted sweep"))
    if trusts is not None:  # the grid is not the user's file
        for block, kind in itertools.product(grid.originals, ("dataset", "arch")):
            trust.check(kind, from_file(block.get(kind), trusts))
    device = DeviceOptions.of({**typed("device", [Group(DeviceOptions)], grid.device), **given})
    if options.ray_address is None:  # else this machine need not have it
        checked_device(device)
    plan = plan_of(grid, device, store)
    found, known = Finder(store()).all(plan), list(pasts(store()))
    left = [task for task in plan if task.key not in found]
    estimates = {task.key: estimate(load_of(task), known) for task in left}
    document = {"grid": text, "device": dict(given)}
    return Sweep(store(), options, document, device, plan, found, estimates)


def _interrupted(sweep: Sweep) -> str | None:
    """The run of an interrupted sweep to continue: the one named, or one of the same plan.

    UserError if the one named is of another plan, or another process is at the same one.
    """
    store, run_id, digest = sweep.store, sweep.options.resume_run_id, plan_digest(sweep.plan)
    if run_id is None:
        unfinished = store.find({tags.SWEEP: digest, tags.ENTRY: "sweep"}, UNFINISHED)
        newest = next((run.info.run_id for run in unfinished), None)
        return newest and str(resumable_run(store, newest, "sweep").info.run_id)
    if store.run(run_id).data.tags.get(tags.SWEEP) != digest:
        raise UserError(
            f"run {run_id} is a sweep of another grid, or its data has changed; leave "
            "resume_run_id out: what is finished of it is found all the same"
        )
    return run_id


def _make(sweep: Sweep, resume: str | None) -> None:
    """Have everything made that is missing, in runs below one."""
    counts = {f"{kind}s": sum(task.kind == kind for task in sweep.plan) for kind in KINDS}

    def work(recorder: Recorder) -> None:
        if resume is None:
            keep_document(recorder, sweep.document)
        recorder.params({**sweep.options.as_dict(), **counts})
        recorder.tags({tags.SWEEP: plan_digest(sweep.plan)})
        schedule = Schedule(sweep.plan, sweep.options.retries, sweep.found)
        if sweep.estimates:
            finder = Finder(sweep.store)
            _drive(sweep, schedule, recorder.run_id, lambda one: finder.find(one, schedule.results))
        write_text(recorder.folder / "grid.yaml", sweep.document["grid"])
        report(recorder, schedule)
        if lost := failures(schedule):
            recorder.finish()  # what is written is stored, though the run does not end well
            shutil.rmtree(recorder.folder)
            recorder.folder.mkdir()
            raise UserError(
                f"{len(lost)} of {len(sweep.plan)} runs of the sweep are not there ({lost[0]}); "
                "the same command again tries just these"
            )

    run_task(
        sweep.store,
        "sweep",
        run_name("sweep", f"{counts['cells']} unlearnings"),
        work,
        resume=resume,
    )


def _recheck(sweep: Sweep, count: int) -> None:
    """Make finished unlearnings again; the process ends with 1 unless they come out alike."""
    plan = chosen(sweep.plan, sweep.found, count)
    needs = {need: sweep.found[need] for task in plan for need in task.needs}

    def work(recorder: Recorder) -> bool:
        recorder.params(sweep.options.as_dict())
        schedule = Schedule(plan, sweep.options.retries, needs)
        _drive(sweep, schedule, recorder.run_id, lambda _: None)
        if lost := failures(schedule):
            raise UserError(
                f"{len(lost)} of {count} unlearnings could not be made again: {lost[0]}"
            )
        again = {one.key: schedule.results[one.key] for one in plan if one.kind == "cell"}
        return recheck(recorder, list(compared(sweep.store, sweep.plan, sweep.found, again)))

    run_id, alike = run_task(
        sweep.store, "sweep", run_name("recheck", f"{count} unlearnings"), work
    )
    console.print_lines({"recheck": run_id, "browse": browse(sweep.store, run_id=run_id)})
    if not alike:
        sys.exit(1)


def _drive(
    sweep: Sweep, schedule: Schedule, run_id: str, find: Callable[[Task], Result | None]
) -> None:
    store, results, finder = sweep.store, schedule.results, Finder(sweep.store)

    def job(task: Task) -> Job:
        original = results[task.needs[0]]["run_id"] if task.needs else None
        oracle = oracle_of(task, results) or "none"
        place = (store.uri, store.experiment_id, run_id, ",".join(trust.words()))
        return Job(task, finder.tag(task, results), original, oracle, sweep.device, *place)

    def changed(task: Task, what: str, about: Mapping[str, Any]) -> None:
        if what == "died":
            close_runs_below(store, run_id, "FAILED", about["error"], finder.tag(task, results))
        board.changed(task, what, about)

    engine = open_engine(sweep.options, sweep.device, sweep.plan)
    try:
        with Board(schedule, sweep.estimates, engine.jobs) as board:
            drive(schedule, engine, find, job, changed)
    finally:
        engine.close()
        close_runs_below(store, run_id, "KILLED", "the sweep was stopped")


def open_engine(options: SweepOptions, device: DeviceOptions, plan: Plan) -> Engine:
    """Start the engine; UserError if the Ray cluster does not answer."""
    if options.engine == "ray":
        from mu.tasks.sweep.engines.ray import Ray  # an extra

        gpus = 0 if device.device == "cpu" else device.devices
        return Ray(perform_in_worker, options.jobs, options.ray_address, gpus)
    if options.engine == "processes":
        jobs, threads = options.jobs, None
        if jobs is None and pick_device(device.device).type == "cpu":
            (jobs, why), threads = jobs_on_cpu(plan, device), 1
            if why:
                print(why)
        places = shares(jobs, device.device, device.devices, threads)
        return Processes(perform_in_worker, places)
    return Engine(perform)
