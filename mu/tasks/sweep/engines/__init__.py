"""Engines: where the tasks of a sweep are performed. A small file for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

Document = Mapping[str, Any]  # JSON-ready
Answer = Future[dict[str, Any]]
Perform = Callable[[Document], dict[str, Any]]
PATIENCE = 30.0  # seconds that workers have to close their runs, once they are told to


class WorkerDiedError(Exception):
    """A worker ended before it had answered; the message says how."""


class Engine(ABC):
    """Performs tasks, at most so many ``jobs`` at a time."""

    jobs = 1

    @abstractmethod
    def submit(self, document: Document) -> Answer:
        """Begin a task."""

    @abstractmethod
    def result(self, answer: Answer) -> dict[str, Any]:
        """The answer of a task that has ended; WorkerDiedError if its worker died."""

    @abstractmethod
    def close(self) -> None:
        """End all workers, gently at first."""
