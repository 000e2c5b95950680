"""Having an engine perform a plan: what may start, what is tried again, what is given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

from mu.tasks.sweep.engines import Answer, Engine, WorkerDiedError
from mu.tasks.sweep.find import Result, Results
from mu.tasks.sweep.plan import Plan, Task

WAITING, RUNNING, DONE, FAILED = STATES = ("waiting", "running", "done", "failed")
DEATHS = 3  # of its worker, after which a task is given up: it may be what kills them


class Schedule:
    """How far a plan is.

    A task that is done stays done. One that failed waits again until it has failed ``retries``
    times more; one whose worker died, until that has happened :data:`DEATHS` times. With a task
    that is given up, those that need it are given up.
    """

    def __init__(self, plan: Plan, retries: int, results: Results | None = None) -> None:
        self.plan, self._retries = plan, retries
        self.results: dict[str, Result] = dict(results or {})  # of tasks that are done, by key
        self.failures: dict[str, str] = {}  # why tasks were given up
        self.tracebacks: dict[str, str] = {}  # of the last failure of a task, by label
        self._running: set[str] = set()
        self._lost: Counter[tuple[str, bool]] = Counter()

    def state(self, task: Task) -> str:
        """One of :data:`STATES`."""
        if task.key in self.results:
            return DONE
        if task.key in self.failures:
            return FAILED
        return RUNNING if task.key in self._running else WAITING

    def next(self) -> Task | None:
        """The first waiting task whose needs are done."""
        waiting = (task for task in self.plan if self.state(task) == WAITING)
        return next((task for task in waiting if self.results.keys() >= set(task.needs)), None)

    def begin(self, task: Task) -> None:
        """A worker is given the task."""
        self._running.add(task.key)

    def done(self, task: Task, result: Result) -> None:
        """The task is done, now or long ago."""
        self._running.discard(task.key)
        self.results[task.key] = result

    def lost(self, task: Task, reason: str, *, died: bool = False) -> bool:
        """The task failed, or its worker died; whether the task is tried again."""
        self._running.remove(task.key)
        self._lost[task.key, died] += 1
        if self._lost[task.key, died] < (DEATHS if died else self._retries + 1):
            return True
        self.failures[task.key] = f"{reason}, {DEATHS} times" if died else reason
        for later in self.plan:  # in their order, so needs of needs come first
            failed = [need for need in later.needs if need in self.failures]
            if failed and self.state(later) == WAITING:
                kind = "original" if failed[0] == later.original.key else "oracle"
                self.failures[later.key] = f"not tried, as its {kind} failed"
        return False


def drive(
    schedule: Schedule,
    engine: Engine,
    find: Callable[[Task], Result | None],
    job: Callable[[Task], Any],
    changed: Callable[[Task, str, Mapping[str, Any]], None],
) -> None:
    """Have every task done, each once.

    ``find`` gives the result of a task that is done already, whoever did it: a worker may die
    after its work and before its answer. ``job`` gives what a worker is given. ``changed`` is
    called when a task is ``found``, ``begun``, ``done``, ``failed`` or tried ``again``, and when
    its worker ``died``, with the result or the ``error``.
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
                at_work[engine.submit(job(task))] = task
        if not at_work:
            return
        for answer in wait(at_work, return_when=FIRST_COMPLETED).done:
            task = at_work.pop(answer)
            try:
                about = engine.result(answer)
            except WorkerDiedError as error:
                about = {"error": str(error)}
                changed(task, "died", about)
                again = schedule.lost(task, str(error), died=True)
            else:
                if "error" not in about:
                    schedule.done(task, about)
                    changed(task, "done", about)
                    continue
                if "traceback" in about:
                    schedule.tracebacks[task.label] = about["traceback"]
                again = schedule.lost(task, about["error"])
            changed(task, "again" if again else "failed", about)
