"""Having an engine perform a plan: what may start, what is tried again, what is given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

from mu.tasks.sweep.engines import Answer, Document, Engine, WorkerDiedError
from mu.tasks.sweep.plan import Plan, Task

WAITING, RUNNING, DONE, FAILED = STATES = ("waiting", "running", "done", "failed")
DEATHS = 3  # of its worker, after which a task is given up: it may be what kills them
Result = Mapping[str, Any]


class Schedule:
    """How far a plan is.

    A task that is done stays done. One that failed waits again until it has failed ``retries``
    times more; one whose worker died, until that has happened :data:`DEATHS` times. With a task
    that is given up, those that need it are given up.

    Parameters
    ----------
    retries
        How often a task that failed is tried again.
    results
        Of tasks that are done already, by their keys.

    Attributes
    ----------
    failures
        Why tasks were given up, by their keys.
    """

    def __init__(self, plan: Plan, retries: int, results: Mapping[str, Result] | None = None):
        self.plan = plan
        self.results: dict[str, Result] = dict(results or {})
        self.failures: dict[str, str] = {}
        self._retries = retries
        self._running: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._died: Counter[str] = Counter()

    def state(self, task: Task) -> str:
        """One of :data:`STATES`."""
        if task.key in self.results:
            return DONE
        if task.key in self.failures:
            return FAILED
        return RUNNING if task.key in self._running else WAITING

    def counts(self) -> dict[str, Counter[str]]:
        """How many tasks of each kind are in each state."""
        found: dict[str, Counter[str]] = {}
        for task in self.plan.tasks:
            found.setdefault(task.kind, Counter())[self.state(task)] += 1
        return found

    def next(self) -> Task | None:
        """The first waiting task whose needs are done."""
        waiting = (task for task in self.plan.tasks if self.state(task) == WAITING)
        return next((task for task in waiting if set(task.needs) <= self.results.keys()), None)

    def begin(self, task: Task) -> None:
        """A worker is given the task."""
        self._running.add(task.key)

    def done(self, task: Task, result: Result) -> None:
        """The task is done, now or long ago."""
        self._running.discard(task.key)
        self.results[task.key] = result

    def failed(self, task: Task, reason: str) -> bool:
        """The task failed; whether it is tried again."""
        self._failed[task.key] += 1
        return self._again(task, self._failed[task.key] <= self._retries, reason)

    def died(self, task: Task, reason: str) -> bool:
        """The worker that had the task died; whether the task is given to another one."""
        self._died[task.key] += 1
        return self._again(task, self._died[task.key] < DEATHS, f"{reason}, {DEATHS} times")

    def _again(self, task: Task, again: bool, reason: str) -> bool:
        self._running.remove(task.key)
        if not again:
            self.failures[task.key] = reason
            for later in self.plan.tasks:  # in their order, so needs of needs come first
                lost = [need for need in later.needs if need in self.failures]
                if lost and self.state(later) == WAITING:
                    kind = "original" if lost[0] == later.original else "oracle"
                    self.failures[later.key] = f"not tried, as its {kind} failed"
        return again


def drive(
    schedule: Schedule,
    engine: Engine,
    find: Callable[[Task], Result | None],
    document: Callable[[Task], Document],
    changed: Callable[[Task, str, Mapping[str, Any]], None],
) -> None:
    """Have every task done, each once.

    What was begun is looked for before it is done again: a worker may die after its work and
    before its answer.

    Parameters
    ----------
    find
        Gives the result of a task that is done already, whoever did it; None if it is to be done.
    document
        Gives what a worker is given.
    changed
        Called when a task is ``found``, ``begun``, ``done``, ``failed`` or tried ``again``, and
        when its worker ``died``, with the result or the ``error``.
    """
    at_work: dict[Answer, Task] = {}
    while True:
        while len(at_work) < engine.jobs and (task := schedule.next()) is not None:
            if (found := find(task)) is not None:
                schedule.done(task, found)
                changed(task, "found", found)
            else:
                schedule.begin(task)
                changed(task, "begun", {})
                at_work[engine.submit(document(task))] = task
        if not at_work:
            return
        for answer in wait(at_work, return_when=FIRST_COMPLETED).done:
            task = at_work.pop(answer)
            try:
                about = engine.result(answer)
            except WorkerDiedError as error:
                about = {"error": str(error)}
                changed(task, "died", about)
                again = schedule.died(task, str(error))
            else:
                if "error" not in about:
                    schedule.done(task, about)
                    changed(task, "done", about)
                    continue
                again = schedule.failed(task, about["error"])
            changed(task, "again" if again else "failed", about)
