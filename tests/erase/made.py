"""A store with the lineage of an original, made without any training."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from mu import tags
from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset, Indices
from mu.tags import fingerprint_tag
from mu.tracking import Store
from tests.helpers import make_checkpoint, make_dataset
from tests.tracking.handovers import hand_over

DATA, OTHER = make_dataset(), make_dataset(seed=5)
ORIGINAL = make_checkpoint(DATA)
SPLIT = ORIGINAL.spec.split(DATA)
RECORDS = SPLIT.train[:4]  # what the requests of these tests are about


class Family:
    """Adds runs to a store, each by what it did."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.specs: dict[str, Checkpoint] = {}

    def original(self, dataset: ImageDataset = DATA, **recipe: object) -> str:
        """An original, with other settings of its recipe where some are given."""
        one = ORIGINAL if dataset is DATA else make_checkpoint(dataset)
        made = replace(one.spec, recipe=replace(one.spec.recipe, **recipe))  # type: ignore[arg-type]
        return self._keep(Checkpoint(one.model, one.mask, made), dataset, entry="prune")

    def unlearned(self, source: str, method: str, forget: Indices, **params: str) -> str:
        """What a method made of a network of this store."""
        before = self.specs[source]
        model = copy.deepcopy(before.model)
        if method != "nothing":
            with torch.no_grad():
                next(model.parameters()).mul_(1 + 0.01 * len(self.specs))
        after = Checkpoint(model, before.mask, before.spec.without(forget, method))
        data = DATA if before.spec.data.fingerprint == DATA.fingerprint else OTHER
        return self._keep(after, data, entry="unlearn", source=source, params=params)

    def transferred(self, source: str, target: ImageDataset = OTHER) -> str:
        """A network that was trained on for other data."""
        after = make_checkpoint(target)
        return self._keep(after, target, entry="transfer", source=source)

    def _keep(
        self,
        checkpoint: Checkpoint,
        dataset: ImageDataset,
        *,
        entry: str,
        source: str | None = None,
        params: dict[str, str] | None = None,
    ) -> str:
        own = {tags.DATA: fingerprint_tag(dataset.fingerprint)}
        own |= {} if source is None else {tags.UPSTREAM: source}
        run_id = hand_over(self.store, checkpoint, entry=entry, tags=own, params=params)
        self.specs[run_id] = checkpoint
        return run_id


def every(*numbers: int) -> Indices:
    return np.array(numbers, np.int64)
