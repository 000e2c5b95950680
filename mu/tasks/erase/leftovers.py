"""What else holds the records, or was made of them: found, and removed where mu may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mu.tracking import Store


@dataclass(frozen=True)
class Leftover:
    """Something that is left beside the networks."""

    # ``progress``, ``references``, ``records``, ``thumbnails``, ``names``, ``checkpoint``,
    # ``deleted_run``, ``undelivered``, ``cache`` or ``dataset_copy``.
    kind: str
    where: str  # an artifact's path in its run, or a path on this machine
    run_id: str | None
    removable: bool  # whether mu may remove it
    note: str = ""  # what else is to be said: why not, and what removes it
    removed_at: datetime | None = None


def purge(store: Store, leftovers: Sequence[Leftover]) -> list[Leftover]:
    """Remove what may be removed; gives these, with the time, or a note on why it is still there."""
    raise NotImplementedError
