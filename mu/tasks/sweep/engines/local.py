"""The engine ``local``: this process, one task after the other."""

from __future__ import annotations

from collections.abc import Sequence

from mu.tasks.sweep.engines.base import Died, Document, Ended, Perform, Seat


class Local:
    """Performs a task while it is waited for."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._given: tuple[str, Document] | None = None

    @property
    def free(self) -> int:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        return 0 if self._given else 1

    def submit(self, key: str, document: Document) -> None:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        self._given = key, document

    def wait(self, seconds: float) -> Sequence[Ended | Died]:
        """See :class:`~mu.sweep.engines.base.Engine`; takes as long as the task."""
        assert self._given is not None
        key, document = self._given
        answer = self._perform(document)
        self._given = None
        return [Ended(key, answer)]

    def close(self) -> Sequence[Seat]:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        return []
