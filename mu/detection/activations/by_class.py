"""Features of the training samples by the class that their label says, and suspects among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset, Indices
from mu.detection.base import Detector, Suspects
from mu.errors import UserError
from mu.models.head import NoHeadError, features
from mu.runs import Run

FEWEST = 3  # samples of a class that can be compared


@dataclass(frozen=True, eq=False)
class ClassFeatures:
    """Sample numbers of a class (n,), and their features, float64 of shape (n, n_features)."""

    numbers: Indices
    features: Tensor


def features_by_class(
    checkpoint: Checkpoint, dataset: ImageDataset, run: Run, detector: Detector
) -> dict[int, ClassFeatures]:
    """What the head of the network is given for the training samples that it still knows.

    Of the class that ``detector`` names, or of all. A :class:`UserError` says so if no class has
    enough samples, or the network has no features.
    """
    label = detector.label(dataset)
    train = checkpoint.spec.split(dataset).train
    labels = dataset.train.labels.numpy()[train]
    try:
        found = features(checkpoint.model, dataset.training_subset(train), run)
    except NoHeadError as error:
        raise UserError(
            f"suspects={detector.name} looks at what the head is given, but {error}; "
            "take an original of another arch"
        ) from error
    rows = {
        int(chosen): np.flatnonzero(labels == chosen)
        for chosen in (np.unique(labels) if label is None else [label])
    }
    classes = {
        chosen: ClassFeatures(train[some], found[torch.from_numpy(some)])
        for chosen, some in rows.items()
        if len(some) >= FEWEST
    }
    if not classes:
        raise UserError(
            f"suspects={detector.name}: no class has enough training samples to compare"
        )
    return classes


def ranked(parts: Sequence[tuple[Indices, NDArray[np.float64]]], stand_out: bool) -> Suspects:
    """Suspects of several classes, by their scores; of equal scores the lower number is first."""
    numbers = np.concatenate([np.array([], np.int64), *(one for one, _ in parts)])
    scores = np.concatenate([np.array([], np.float64), *(one for _, one in parts)])
    order = np.lexsort((numbers, -scores))
    return Suspects(numbers[order], scores[order], stand_out)


def precision_and_recall(suspects: Indices, poisoned: Indices) -> dict[str, float]:
    """How well the suspects are the poisoned samples, in percent (0-100).

    ValueError if either is empty.

    Returns
    -------
    dict
        ``suspects_precision``: share of the suspects that are poisoned; ``suspects_recall``:
        share of the poisoned samples that are suspected.
    """
    if not len(suspects) or not len(poisoned):
        raise ValueError("precision and recall need suspects and poisoned samples")
    both = len(np.intersect1d(suspects, poisoned))
    return {
        "suspects_precision": 100.0 * both / len(suspects),
        "suspects_recall": 100.0 * both / len(poisoned),
    }
