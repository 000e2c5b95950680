"""What was planted into a training set before a network saw it: labels, with or without a trigger.

Published data never changes: a planted set is made of it in memory, and a checkpoint's spec says
what to plant again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mu.data.images import ImageDataset, ImageSet, Indices
from mu.digests import digest_of
from mu.errors import UserError


@dataclass(frozen=True)
class Planted(ABC):
    """Samples of a training set that were changed."""

    request: str  # how they were chosen, as it was typed
    indices: tuple[int, ...]  # their sample numbers, sorted

    @property
    @abstractmethod
    def forget(self) -> str:
        """What ``forget`` calls these samples."""

    @property
    @abstractmethod
    def brief(self) -> str:
        """In a word, for titles: ``patch``, ``canary:20``."""

    @property
    def pair(self) -> tuple[int, int] | None:
        """The labels that were exchanged, where two were."""
        return None

    def planting(self) -> dict[str, Any]:
        """By the names of the options of ``prune`` that plant it, if it is one of these."""
        return {}

    def options(self) -> dict[str, Any]:
        """By the names of the options of ``backdoor``, if it is that which plants it."""
        return {}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of all of it."""
        return digest_of(asdict(self))

    @abstractmethod
    def apply(self, dataset: ImageDataset) -> PlantedDataset:
        """Change a data set as published; the test set stays as it is.

        UserError if a sample does not exist, or the images do not allow it.
        """

    def numbers(self, dataset: ImageDataset) -> Tensor:
        """The sample numbers, int64 of shape (n,).

        UserError if one does not exist in this data.
        """
        if strange := [n for n in self.indices if not 0 <= n < len(dataset.train)]:
            raise UserError(
                f"sample {strange[0]} was poisoned, but {dataset.name} has only "
                f"{len(dataset.train)} training samples; name the same data with data_dir"
            )
        return torch.tensor(self.indices, dtype=torch.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class PlantedDataset(ImageDataset):
    """A data set whose training labels or images were changed; ``clean`` is as it was published."""

    clean: ImageDataset
    planted: Planted

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of the data as published: the same, wherever it lies."""
        return self.clean.fingerprint

    @property
    def published_labels(self) -> Tensor:
        """Labels of the training images as published, (n,)."""
        return self.clean.train.labels

    @property
    def poisoned(self) -> Indices:
        """Sample numbers of the changed images, sorted."""
        return np.array(self.planted.indices, np.int64)


def with_train(dataset: ImageDataset, train: ImageSet) -> dict[str, Any]:
    """The fields of a data set, with other training images."""
    published = {one.name: getattr(dataset, one.name) for one in fields(ImageDataset)}
    return {**published, "train": train}


def checked_numbers(values: Mapping[str, Any], name: str, what: str) -> tuple[int, ...]:
    """Numbers from 0 on, as JSON gives them.

    ValueError if there is anything else among them; ``what``: what they are not.
    """
    numbers = values[name]
    if not isinstance(numbers, list | tuple) or not all(map(is_number, numbers)):
        raise ValueError(f"the poisoned samples are no {what}")
    return tuple(numbers)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a whole number from 0 on."""
    return type(value) is int and value >= 0
