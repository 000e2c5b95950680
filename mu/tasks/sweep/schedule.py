"""Which tasks of a plan may start, which are tried again, and which are given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mu.tasks.sweep.plan import Plan, Task

WAITING, RUNNING, DONE, FAILED = STATES = ("waiting", "running", "done", "failed")
DEATHS = 3  # of its worker, after which a task is given up: it may be what kills them


class Schedule:
    """How far a plan is.

    A task that is done stays done. One that failed waits again until it has failed ``retries``
    times more; one whose worker died, until that has happened :data:`DEATHS` times. With a task
    that is given up, those that need it are given up.

    Parameters
    ----------
    retries
        How often a task that failed is tried again.
    """

    def __init__(self, plan: Plan, retries: int) -> None:
        self.plan = plan
        self.results: dict[str, Mapping[str, Any]] = {}
        self.failures: dict[str, str] = {}
        self._retries = retries
        self._states = dict.fromkeys((task.key for task in plan.tasks), WAITING)
        self._failed: Counter[str] = Counter()
        self._died: Counter[str] = Counter()
        self._tasks = plan.by_key

    def is_over(self) -> bool:
        """Whether every task is done or given up."""
        return all(state in (DONE, FAILED) for state in self._states.values())

    def state(self, key: str) -> str:
        """One of :data:`STATES`."""
        return self._states[key]

    def next(self) -> Task | None:
        """The first waiting task whose needs are done."""
        return next(
            (
                task
                for task in self.plan.tasks
                if self._states[task.key] == WAITING
                and all(self._states[need] == DONE for need in task.needs)
            ),
            None,
        )

    def begin(self, key: str) -> None:
        """The task has been given to a worker."""
        self._expect(key, WAITING)
        self._states[key] = RUNNING

    def done(self, key: str, result: Mapping[str, Any]) -> None:
        """The task is done, now or (of a waiting one) long ago."""
        self._expect(key, WAITING, RUNNING)
        self._states[key] = DONE
        self.results[key] = result

    def failed(self, key: str, reason: str) -> bool:
        """The task failed; whether it is tried again."""
        self._expect(key, RUNNING)
        self._failed[key] += 1
        return self._again(key, self._failed[key] <= self._retries, reason)

    def died(self, key: str, reason: str) -> bool:
        """The worker that had the task died; whether the task is given to another one."""
        self._expect(key, RUNNING)
        self._died[key] += 1
        return self._again(key, self._died[key] < DEATHS, f"{reason}, {DEATHS} times")

    def counts(self) -> dict[str, Counter[str]]:
        """How many tasks of each kind are in each state."""
        found: dict[str, Counter[str]] = {}
        for task in self.plan.tasks:
            found.setdefault(task.kind, Counter())[self._states[task.key]] += 1
        return found

    def _again(self, key: str, again: bool, reason: str) -> bool:
        self._states[key] = WAITING if again else FAILED
        if not again:
            self.failures[key] = reason
            self._give_up_after(key)
        return again

    def _give_up_after(self, key: str) -> None:
        for task in self.plan.tasks:  # in their order, so needs of needs come first
            lost = [need for need in task.needs if self._states[need] == FAILED]
            if lost and self._states[task.key] == WAITING:
                self._states[task.key] = FAILED
                self.failures[task.key] = f"not tried, as its {self._tasks[lost[0]].kind} failed"

    def _expect(self, key: str, *states: str) -> None:
        if self._states[key] not in states:
            raise ValueError(f"task {key} is {self._states[key]}, not {' or '.join(states)}")
