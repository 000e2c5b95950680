"""The engine ``local``: this process, one task after the other."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from mu.tasks.sweep.engines import Answer, Document, Perform


class Local:
    """Performs a task when it is submitted."""

    jobs = 1

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

    def submit(self, document: Document) -> Answer:
        """Perform a task."""
        answer: Answer = Future()
        answer.set_result(self._perform(document))
        return answer

    def result(self, answer: Answer) -> dict[str, Any]:
        """What was answered."""
        return answer.result()

    def close(self) -> None:
        """There are no workers."""
