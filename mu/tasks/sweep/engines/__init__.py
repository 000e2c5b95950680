"""Engines: where the tasks of a sweep are performed; those with workers have a file each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Answer = Future[dict[str, Any]]
Perform = Callable[[Any], dict[str, Any]]  # of a job, which can be pickled
PATIENCE = 30.0  # seconds that workers have to close their runs, once they are told to


class WorkerDiedError(Exception):
    """A worker ended before it had answered; the message says how."""


class Engine:
    """Performs tasks, at most so many ``jobs`` at a time: here in this process, one by one."""

    jobs = 1

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

    def submit(self, job: Any) -> Answer:
        """Begin a task."""
        answer: Answer = Future()
        answer.set_result(self._perform(job))
        return answer

    def result(self, answer: Answer) -> dict[str, Any]:
        """The answer of a task that has ended; WorkerDiedError if its worker died."""
        return answer.result()

    def close(self) -> None:
        """End all workers, gently at first."""
