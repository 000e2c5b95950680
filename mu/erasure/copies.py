"""Copies of records among everything that a model was trained on: exact ones, and near ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mu.data.images import ImageDataset, Indices
from mu.data.splits import Split
from mu.runs import Run

DEFAULT_THRESHOLD = 0.98


class NearCopies(NamedTuple):
    """Near-copies of records, the most alike first; arrays of shape (n_copies,)."""

    numbers: Indices
    similarity: NDArray[np.float64]  # to the record that each is most like
    of: Indices  # sample number of that record


def copies_of(numbers: Indices, dataset: ImageDataset, split: Split) -> Indices:
    """Sample numbers of exact copies, sorted."""
    raise NotImplementedError


def near_copies(
    numbers: Indices,
    dataset: ImageDataset,
    split: Split,
    model: nn.Module,
    run: Run,
    threshold: float = DEFAULT_THRESHOLD,
) -> NearCopies:
    """Samples that the network takes for nearly the same as a record."""
    raise NotImplementedError
