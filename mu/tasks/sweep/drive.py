"""Driving a schedule with an engine until every task is done or given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mu.tasks.sweep.engines.base import Died, Document, Ended, Engine, Seat
from mu.tasks.sweep.plan import Task
from mu.tasks.sweep.schedule import Schedule

REDRAW_SECONDS = 1.0


class Work(Protocol):
    """What tasks are to the one who has a sweep driven."""

    def find(self, task: Task, results: Mapping[str, Document]) -> Document | None:
        """The result of a task that is done already, whoever did it; None if it is to be done.

        Parameters
        ----------
        results
            Of the tasks that it needs, among others.
        """

    def document(self, task: Task, results: Mapping[str, Document]) -> Document:
        """What a worker is given."""

    def lost(self, seat: Seat | None, how: str) -> None:
        """A worker died: clear up after it."""

    def changed(self, task: Task, what: str, about: Mapping[str, Any]) -> None:
        """A task was ``found``, ``began``, is ``done``, ``failed``, or is done ``again``."""

    def passed(self) -> None:
        """Called again and again: time has passed."""


def drive(schedule: Schedule, engine: Engine, work: Work) -> None:
    """Have every task done, each once.

    Whatever was begun is looked for again before it is done again: a worker may have died after
    its work and before it could say so.

    An answer of a worker has either ``error``, in one line, or is the result.
    """
    tasks = schedule.plan.by_key
    while not schedule.is_over():
        _begin(schedule, engine, work)
        if schedule.is_over():
            return
        for event in engine.wait(REDRAW_SECONDS):
            _hear(schedule, work, tasks[event.key], event)
        work.passed()


def _begin(schedule: Schedule, engine: Engine, work: Work) -> None:
    while engine.free and (task := schedule.next()) is not None:
        if (found := work.find(task, schedule.results)) is not None:
            schedule.done(task.key, found)
            work.changed(task, "found", found)
        else:
            engine.submit(task.key, work.document(task, schedule.results))
            schedule.begin(task.key)
            work.changed(task, "began", {})


def _hear(schedule: Schedule, work: Work, task: Task, event: Ended | Died) -> None:
    if isinstance(event, Died):
        work.lost(event.seat, event.how)
        again, about = schedule.died(task.key, event.how), {"error": event.how}
    elif "error" in event.answer:
        reason = str(event.answer["error"])
        again, about = schedule.failed(task.key, reason), dict(event.answer)
    else:
        schedule.done(task.key, event.answer)
        work.changed(task, "done", event.answer)
        return
    work.changed(task, "again" if again else "failed", about)
