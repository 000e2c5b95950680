"""The scope of a request: every network of the store that its records went into, and what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mu.data.images import ImageDataset, Indices
from mu.tasks.erase.leftovers import Leftover
from mu.tracking import Store

Decision = Literal["unlearn", "retire", "not_affected"]


@dataclass(frozen=True)
class ScopedModel:
    """A run that holds a network, and what becomes of it."""

    run_id: str
    name: str
    entry: str
    records: int  # of the records, those that it was trained on and has not forgotten
    descends_from: str | None  # the run whose network it took, where it is that which saw them
    decision: Decision
    reason: str
    weights: str  # fingerprint of the weights, as the run's tag has it
    versions: Sequence[Any] = ()  # registered ones


@dataclass(frozen=True)
class ScopedMask:
    """The mask of a target, and whether the training that found it saw the records."""

    run_id: str
    saw_records: bool
    reason: str


@dataclass(frozen=True)
class Scope:
    """All of it; models from the oldest to the newest."""

    models: Sequence[ScopedModel]
    masks: Sequence[ScopedMask]
    leftovers: Sequence[Leftover]


def scope_of(
    store: Store,
    dataset: ImageDataset,
    numbers: Indices,
    targets: Sequence[str],
    versions: Mapping[str, Sequence[Any]] | None = None,
) -> Scope:
    """The scope of a request for these sample numbers, over all experiments of the store.

    ``targets``: IDs of the runs that are to be unlearned. ``versions``: registered ones by run ID.
    """
    raise NotImplementedError
