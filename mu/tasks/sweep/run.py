"""The work of the sweep entry: plan, say what it means, have it made, show what came of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mu.cli.requests import MOST_RUNS, Request, SweepOptions
from mu.errors import UserError
from mu.report.sweep import PLURAL, Board, print_plan
from mu.tasks.sweep.checks import SweepPlan, defaults, plan_of
from mu.tasks.sweep.drive import drive
from mu.tasks.sweep.estimate import Estimator
from mu.tasks.sweep.find import Finder, Result, pasts
from mu.tasks.sweep.grid import Grid, load_yaml, read_text
from mu.tasks.sweep.open_engine import check_engine, open_engine
from mu.tasks.sweep.plan import KINDS
from mu.tasks.sweep.report import missing, print_report, write_report
from mu.tasks.sweep.schedule import Schedule
from mu.tasks.sweep.work import SweepWork
from mu.tracking import (
    SWEEP_TAG,
    Recorder,
    Store,
    close_runs_of,
    connect,
    fetch_document,
    find_unfinished,
    fingerprint_tag,
    keep_document,
    remove_progress,
    resumable_run,
    tracked,
)


@dataclass(frozen=True)
class Sweep:
    """A sweep that is to be made.

    Parameters
    ----------
    grid, device
        The grid's text, and what was given of the device beside it.
    found
        Results of what is there already, by key.
    estimates
        Seconds that each of the others will take, by key; None where nothing is known.
    """

    store: Store
    options: SweepOptions
    grid: str
    device: Mapping[str, Any]
    planned: SweepPlan
    finder: Finder
    found: Mapping[str, Result]
    estimates: Mapping[str, float | None]


def sweep(request: Request) -> None:
    """Make every combination of originals, forget sets, methods and seeds of a grid file.

    Everything that can be checked is checked before a run is opened.
    """
    options, device = SweepOptions.of(request.entry), request.device
    check_engine(options.engine)
    planned = _planned(options, device)
    print_plan(planned.planned.plan.tasks, planned.found, planned.estimates)
    if options.dry_run:
        return
    if (count := len(planned.estimates)) > MOST_RUNS and not options.yes:
        raise UserError(
            f"this grid makes {count} runs, which is more than {MOST_RUNS}; say yes=true if that "
            "is meant"
        )
    _make(planned, _interrupted(planned))


def _planned(options: SweepOptions, device: Mapping[str, Any]) -> Sweep:
    """Check everything, and look for what is there already; opens no run."""
    store = lru_cache(connect)  # only once all that can be checked without it is
    text = None if options.grid is None else read_text(Path(options.grid))
    given = dict(device)
    if options.resume_run_id is not None:
        kept = fetch_document(store(), resumable_run(store(), options.resume_run_id, "sweep"))
        text, given = text or kept["grid"], {**kept["device"], **device}
    assert text is not None
    grid = Grid.of(load_yaml(text, options.grid or "of the interrupted sweep"), defaults())
    planned = plan_of(grid, given, store, check_device=options.ray_address is None)
    finder = Finder(store(), planned)
    found = finder.all()
    estimator = Estimator(list(pasts(store())))
    left = [task for task in planned.plan.tasks if task.key not in found]
    estimates = {task.key: estimator.seconds(planned.load(task)) for task in left}
    return Sweep(store(), options, text, given, planned, finder, found, estimates)


def _interrupted(sweep: Sweep) -> str | None:
    """The run of an interrupted sweep to go on with: the one named, or one of the same plan.

    Raises
    ------
    UserError
        If the one named is of another plan, or another process is at the same one.
    """
    store, run_id = sweep.store, sweep.options.resume_run_id
    digest = fingerprint_tag(sweep.planned.plan.digest)
    if run_id is not None:
        if store.run(run_id).data.tags.get(SWEEP_TAG) != digest:
            raise UserError(
                f"run {run_id} is a sweep of another grid, or its data has changed; leave "
                "resume_run_id out: what is finished of it is found all the same"
            )
        return run_id
    for run in find_unfinished(store, "sweep", SWEEP_TAG, digest):
        return str(resumable_run(store, run.info.run_id, "sweep").info.run_id)
    return None


def _make(sweep: Sweep, resume: str | None) -> None:
    """Have everything made that is missing, in runs below one."""
    plan, store = sweep.planned.plan, sweep.store
    title = f"{len(plan.of_kind('cell'))} cells"
    with tracked(store, "sweep", title, resume=resume) as recorder:
        print(f"sweep run {recorder.run_id}", file=sys.stderr, flush=True)
        if resume is None:
            keep_document(recorder, {"grid": sweep.grid, "device": dict(sweep.device)})
        _describe(recorder, sweep)
        schedule = Schedule(plan, sweep.options.retries)
        tracebacks = _drive(sweep, schedule, recorder)
        (recorder.folder / "grid.yaml").write_text(sweep.grid, encoding="utf-8")
        write_report(recorder, sweep.planned, schedule, tracebacks)
        print_report(store, recorder.run_id, sweep.planned, schedule)
        if line := missing(sweep.planned, schedule):
            _keep_report(recorder)
            raise UserError(line)
    remove_progress(recorder)


def _describe(recorder: Recorder, sweep: Sweep) -> None:
    """Say in the run what it is."""
    plan = sweep.planned.plan
    counts = {PLURAL[kind]: len(plan.of_kind(kind)) for kind in KINDS}
    recorder.params({**sweep.options.as_dict(), **counts})
    recorder.tags({SWEEP_TAG: fingerprint_tag(plan.digest)})


def _drive(sweep: Sweep, schedule: Schedule, recorder: Recorder) -> dict[str, str]:
    """Have every task done; tracebacks of what failed, by key."""
    for key, result in sweep.found.items():
        schedule.done(key, result)
    if schedule.is_over():
        return {}
    engine, jobs = open_engine(sweep.options, sweep.planned.device)
    try:
        with Board() as board:
            work = SweepWork(
                sweep.store,
                sweep.planned,
                recorder.run_id,
                sweep.finder,
                schedule,
                sweep.estimates,
                board,
                jobs,
            )
            drive(schedule, engine, work)
    finally:
        for seat in engine.close():
            close_runs_of(sweep.store, seat.host, seat.pid, "KILLED", "the sweep was stopped")
    return work.tracebacks


def _keep_report(recorder: Recorder) -> None:
    """Store what is written, though the run will not end well."""
    recorder.finish()
    for path in recorder.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
