"""What the tasks of a sweep are to the process that has them done: found, handed out, told of."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from mu.report.sweep import Board
from mu.tasks.sweep.checks import SweepPlan
from mu.tasks.sweep.engines.base import Seat
from mu.tasks.sweep.find import Finder, Result
from mu.tasks.sweep.plan import Task
from mu.tasks.sweep.schedule import RUNNING, WAITING, Schedule
from mu.tracking import Store, close_runs_of


class SweepWork:
    """Finds, hands out and reports tasks; see :class:`mu.sweep.drive.Work`.

    Parameters
    ----------
    run_id
        Of the sweep; the runs that are made are shown below it.
    estimates
        Seconds that each task will take, by key; None where nothing is known.
    jobs
        How many run at a time.
    """

    def __init__(
        self,
        store: Store,
        sweep: SweepPlan,
        run_id: str,
        finder: Finder,
        schedule: Schedule,
        estimates: Mapping[str, float | None],
        board: Board,
        jobs: int,
    ) -> None:
        self._store, self._sweep, self._run_id = store, sweep, run_id
        self._finder, self._schedule = finder, schedule
        self._estimates, self._board, self._jobs = estimates, board, jobs
        self._took: dict[str, list[float]] = {}
        self.tracebacks: dict[str, str] = {}

    def find(self, task: Task, results: Mapping[str, Result]) -> Result | None:
        """See :meth:`mu.sweep.drive.Work.find`."""
        return self._finder.find(task, results)

    def document(self, task: Task, results: Mapping[str, Result]) -> dict[str, Any]:
        """See :meth:`mu.sweep.drive.Work.document`; all that a worker needs, in plain values."""
        runs = [results[need]["run_id"] for need in task.needs]
        return {
            "store": self._store.uri,
            "experiment": self._store.experiment_id,
            "parent": self._run_id,
            "key": task.key,
            "kind": task.kind,
            "what": dict(task.what),
            "data": self._sweep.data(task),
            "device": dict(self._sweep.device),
            "seed": None if task.kind == "original" else self._sweep.seed(task),
            "original": runs[0] if runs else None,
            "oracle": runs[1] if len(runs) > 1 and task.what["method"] != "retrain" else None,
        }

    def lost(self, seat: Seat | None, how: str) -> None:
        """Close the run that a dead worker had open."""
        if seat is not None:
            close_runs_of(self._store, seat.host, seat.pid, "FAILED", how)

    def changed(self, task: Task, what: str, about: Mapping[str, Any]) -> None:
        """See :meth:`mu.sweep.drive.Work.changed`."""
        self._draw()
        for line in about.get("warnings", ()):
            self._board.say(f"{line} ({task.label})")
        if "traceback" in about:
            self.tracebacks[task.key] = about["traceback"]
        run = f" (run {about['run_id']})" if "run_id" in about else ""
        words = {"began": "begins", "again": "is tried again"}.get(what, what)
        line = f"{task.kind} {words}: {task.label}{run}"
        line += f": {about['error']}" if "error" in about else ""
        self._board.event(line)
        if "seconds" in about:
            self._took.setdefault(_group(task), []).append(about["seconds"])

    def passed(self) -> None:
        """See :meth:`mu.sweep.drive.Work.passed`."""
        self._draw()

    def _draw(self) -> None:
        self._board.show(self._schedule.counts(), self._seconds_left())

    def _seconds_left(self) -> float | None:
        """For what is not done, as many at a time as there are jobs; None where unknown."""
        tasks = self._sweep.plan.tasks
        left = [one for one in tasks if self._schedule.state(one.key) in (WAITING, RUNNING)]
        known = [one for one in map(self._seconds, left) if one is not None]
        if left and not known:
            return None
        # What nothing is known of may be as long as the others.
        return statistics.fmean(known) * len(left) / self._jobs if left else 0.0

    def _seconds(self, task: Task) -> float | None:
        """What tasks of its group took in this sweep, or else what earlier runs say."""
        if took := self._took.get(_group(task)):
            return statistics.fmean(took)
        return self._estimates.get(task.key)


def _group(task: Task) -> str:
    return str(task.what.get("method", task.kind))
