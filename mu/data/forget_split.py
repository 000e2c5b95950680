"""The training set of an original, cut into what is forgotten and what is retained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mu.data.images import ImageDataset, Indices, Subset
from mu.data.manifest import listed
from mu.data.splits import Split
from mu.errors import UserError


@dataclass(frozen=True, eq=False)
class ForgetSplit:
    """The training set of an original, cut into a forget set and a retain set.

    UserError if nothing would be left to retain, or nothing is to be forgotten. ValueError if the
    parts overlap.
    """

    dataset: ImageDataset  # the data; nothing here changes it
    # forget, retain: sample numbers, int64, disjoint, together exactly what the original was
    # trained on.
    forget: Indices
    retain: Indices
    val: Indices  # sample numbers of the validation part
    # Samples whose files are exact copies of others that are forgotten; they are in ``forget``, or
    # in ``retain`` where they were to be kept.
    copies: Indices = field(default_factory=lambda: np.array([], np.int64))
    # Samples by memorisation, the most memorised first, where a run was to tell.
    ranked: Indices = field(default_factory=lambda: np.array([], np.int64))

    def __post_init__(self) -> None:
        if not len(self.forget):
            raise UserError("the forget set is empty; give at least one sample to forget")
        if not len(self.retain):
            raise UserError("the forget set is the whole training set: nothing would be retained")
        everything = np.concatenate([self.forget, self.retain, self.val])
        if len(np.unique(everything)) != len(everything):
            raise ValueError("forget, retain and validation samples must be disjoint")

    @classmethod
    def of(cls, dataset: ImageDataset, split: Split, forget: Indices) -> ForgetSplit:
        """Cut the ``train`` part of ``split``; ``forget`` must lie in it."""
        if len(outside := np.setdiff1d(forget, split.train)):
            raise UserError(f"sample {outside[0]} was not trained on, so it cannot be forgotten")
        retain = np.setdiff1d(split.train, forget)
        return cls(dataset, np.sort(forget), retain, split.val)

    @cached_property
    def _gone(self) -> Indices:
        """Classes of which nothing is retained, those that were forgotten earlier among them."""
        labels = self.dataset.train.labels.numpy()
        return np.setdiff1d(labels, labels[self.retain])

    @property
    def forgotten_classes(self) -> tuple[int, ...]:
        """Classes of which no training sample is retained, however they were named."""
        forgotten = self.dataset.train.labels.numpy()[self.forget]
        return tuple(np.intersect1d(forgotten, self._gone).tolist())

    @cached_property
    def mislabelled(self) -> NDArray[np.bool_]:
        """Which samples of the forget set were poisoned with a label that is not theirs, (n,)."""
        trained, published = self.dataset.train.labels, self.dataset.published_labels
        return np.asarray((trained != published).numpy())[self.forget]

    @property
    def forget_set(self) -> Subset:
        """The samples to forget."""
        return self.dataset.training_subset(self.forget)

    @property
    def retain_set(self) -> Subset:
        """The samples to retain."""
        return self.dataset.training_subset(self.retain)

    @property
    def training_set(self) -> Subset:
        """All that the original was trained on, in the order of sample numbers."""
        numbers = np.sort(np.concatenate([self.forget, self.retain]))
        return self.dataset.training_subset(numbers)

    @property
    def val_set(self) -> Subset:
        """Validation samples, without those of a class that was forgotten, now or earlier."""
        gone = self._is_gone(self.dataset.train.labels[self.val])
        return self.dataset.training_subset(self.val[~gone])

    @property
    def test_set(self) -> Subset:
        """Test samples, without those of a class that was forgotten, now or earlier."""
        gone = self._is_gone(self.dataset.test.labels)
        return self.dataset.test_subset(np.flatnonzero(~gone))

    @property
    def test_forgotten_set(self) -> Subset:
        """Test samples of classes forgotten as a whole, now or earlier."""
        return self.dataset.test_subset(np.flatnonzero(self._is_gone(self.dataset.test.labels)))

    def _is_gone(self, labels: Tensor) -> NDArray[np.bool_]:
        return np.isin(labels.numpy(), self._gone)

    def copies_in_words(self) -> str:
        """What was done with copies of forgotten files; nothing where there are none."""
        if not len(self.copies):
            return ""
        named = listed(self.copies, self.dataset.manifest, most=5)
        if np.isin(self.copies, self.forget).all():
            return f"exact copies of forgotten files are forgotten, too: {named}"
        return (
            f"exact copies of forgotten files stay in the retain set: {named}; "
            "duplicates=forget forgets them, too"
        )

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the forget set's sample numbers."""
        return indices_digest(self.forget)


def indices_digest(numbers: Indices) -> str:
    """sha256 (hex) of sample numbers as little-endian int64, sorted."""
    return hashlib.sha256(np.sort(numbers).astype("<i8").tobytes()).hexdigest()
