"""Small finished runs that hand something on, without any training."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

from mu.checkpoints import Checkpoint
from mu.tracking import Store, fingerprint_tags, tracked
from tests.helpers import make_checkpoint, make_dataset


def small_checkpoint(seed: int = 3) -> Checkpoint:
    return copy.deepcopy(_made(seed))


@functools.cache
def _made(seed: int) -> Checkpoint:
    return make_checkpoint(make_dataset(), seed=seed)


def hand_over(
    store: Store,
    checkpoint: Checkpoint | None = None,
    *,
    entry: str = "prune",
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    status: str = "FINISHED",
) -> str:
    """The ID of a run that ended as a real one does, then put into ``status``."""
    with tracked(store, entry, "small") as recorder:
        recorder.params(params or {})
        digests = (checkpoint or small_checkpoint()).save(recorder.folder)
        recorder.tags({**fingerprint_tags(digests), **(tags or {})})
    if status != "FINISHED":
        store.client.set_terminated(recorder.run_id, status)
        store.client.update_run(recorder.run_id, status=status)
    return recorder.run_id
