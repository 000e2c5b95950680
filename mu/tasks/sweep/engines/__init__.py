"""Engines: where the tasks of a sweep are performed. A small file for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

Document = Mapping[str, Any]  # JSON-ready
Answer = Future[dict[str, Any]]
Perform = Callable[[Document], dict[str, Any]]
PATIENCE = 30.0  # seconds that workers have to close their runs, once they are told to


class WorkerDiedError(Exception):
    """A worker ended before it had answered; the message says how."""


class Engine(Protocol):
    """Performs tasks: a document goes in, an answer comes out.

    Attributes
    ----------
    jobs
        How many tasks may be in it at a time.
    """

    jobs: int

    def submit(self, document: Document) -> Answer:
        """Begin a task."""

    def result(self, answer: Answer) -> dict[str, Any]:
        """The answer of a task that has ended.

        Raises
        ------
        WorkerDiedError
            If its worker died.
        """

    def close(self) -> None:
        """End all workers, gently at first."""
