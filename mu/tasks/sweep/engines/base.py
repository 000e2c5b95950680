"""What an engine is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Document = Mapping[str, Any]  # JSON-ready
Perform = Callable[[Document], Document]


@dataclass(frozen=True)
class Seat:
    """A worker's process, as MLflow's tags name it."""

    host: str
    pid: int


@dataclass(frozen=True)
class Ended:
    """A task was performed; ``answer`` is what came of it, well or badly."""

    key: str
    answer: Document


@dataclass(frozen=True)
class Died:
    """A worker died over a task.

    Parameters
    ----------
    seat
        The worker; None where it died before it said who it is.
    how
        In words.
    """

    key: str
    seat: Seat | None
    how: str


class Engine(Protocol):
    """Performs tasks, up to so many at a time.

    Whatever it is given comes back exactly once, as an :class:`Ended` or a :class:`Died`. What a
    task is and needs is not its business: a document goes in, another comes out.
    """

    @property
    def free(self) -> int:
        """How many tasks it would begin at once."""

    def submit(self, key: str, document: Document) -> None:
        """Begin a task."""

    def wait(self, seconds: float) -> Sequence[Ended | Died]:
        """What has come back, after at most about ``seconds`` where nothing has."""

    def close(self) -> Sequence[Seat]:
        """End all workers, gently at first; those that had a task and had to be killed."""
