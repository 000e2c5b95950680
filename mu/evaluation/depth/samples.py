"""Which samples the depth of forgetting is measured on, and their features in a network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from mu.data.forget_split import ForgetSplit
from mu.data.images import Indices, Subset
from mu.models.head import features
from mu.runs import Run

MOST = 250  # of each part, equally many of each class ...
FEWEST = 5  # ... but at least so many of each


@dataclass(frozen=True, eq=False)
class Samples:
    """The same for every model of a split and seed: features are taken of these alone."""

    # forgotten, retained: drawn from the forget and from the retain set.
    forgotten: Subset
    retained: Subset
    # Test images of the classes that are forgotten as a whole; none where there is no such class.
    unseen: Subset
    whole: tuple[int, ...]  # these classes, sorted

    @classmethod
    def of(cls, split: ForgetSplit, run: Run) -> Samples:
        """Drawn by the run's seed: up to 250 of each part, equally many of each class."""
        whole, test = split.forgotten_classes, split.dataset.test_subset()
        unseen = replace(test, indices=np.flatnonzero(np.isin(test.labels.numpy(), whole)))
        return cls(
            _drawn(split.forget_set, "forget", run),
            _drawn(split.retain_set, "retain", run),
            _drawn(unseen, "unseen", run),
            whole,
        )


def _drawn(subset: Subset, name: str, run: Run) -> Subset:
    """Equally many samples of each class, as far as there are, in a drawn order."""
    draws = run.generator(f"samples of depth, {name}")
    order = torch.randperm(len(subset), generator=draws).numpy()
    labels = subset.labels.numpy()[order]
    classes = np.unique(labels)
    each = max(FEWEST, MOST // max(1, len(classes)))
    chosen = [np.flatnonzero(labels == label)[:each] for label in classes]
    places: Indices = np.sort(np.concatenate([np.array([], np.int64), *chosen]))
    return replace(subset, indices=subset.indices[order[places]])


@dataclass(frozen=True, eq=False)
class Features:
    """What goes into the head of one network for each of the samples, (n_samples, n_features)."""

    forgotten: Tensor
    retained: Tensor
    unseen: Tensor

    @classmethod
    def of(cls, model: nn.Module, samples: Samples, run: Run) -> Features:
        """Two passes, since training and test images lie apart; UserError without a head."""
        train = np.concatenate([samples.forgotten.indices, samples.retained.indices])
        found = features(model, replace(samples.forgotten, indices=train), run)
        cut = len(samples.forgotten)
        unseen = features(model, samples.unseen, run) if len(samples.unseen) else found[:0]
        return cls(found[:cut], found[cut:], unseen)

    def both(self) -> Tensor:
        """Of the forgotten, then of the retained samples."""
        return torch.cat([self.forgotten, self.retained])
