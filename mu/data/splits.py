"""The seeded, stratified split of the published training images into train and validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mu.data.images import Indices
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, setting


@dataclass(frozen=True)
class SplitSpec(Hyperparameters):
    """How the training images were split; part of every checkpoint's spec.

    The same spec gives the same split for ever, so a later step partitions exactly what the
    original was trained on.
    """

    split_seed: int = setting(0, help="seed of the train/validation split", low=0)
    val_share: float = setting(
        0.1, help="share of the images that is kept for validation", low=0.0, below=1.0
    )
    train_size: int | None = setting(
        None, help="train on that many images only, drawn class by class", low=1
    )


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint, sorted sample numbers of the published training set.

    Together they cover it: ``unused`` holds what ``train_size`` left out.
    """

    train: Indices
    val: Indices
    unused: Indices


def split(labels: Indices, spec: SplitSpec) -> Split:
    """Split the samples with these labels as ``spec`` says, each class in proportion.

    Raises
    ------
    UserError
        If ``train_size`` asks for more images than validation leaves.
    """
    order = np.random.default_rng(spec.split_seed).permutation(len(labels))
    used, val_size = len(labels), round(spec.val_share * len(labels))
    if spec.train_size is not None:
        used = round(spec.train_size / (1 - spec.val_share))
        val_size = used - spec.train_size
        if used > len(labels):
            raise UserError(
                f"train_size={spec.train_size}: only {round(len(labels) * (1 - spec.val_share))} "
                "training images are left beside validation; give fewer, or a smaller val_share"
            )
    chosen, unused = _stratified(order, labels, used)
    val, train = _stratified(chosen, labels, val_size)
    if not len(train):
        raise UserError(f"val_share={spec.val_share} leaves no training images; give less")
    return Split(np.sort(train), np.sort(val), np.sort(unused))


def _stratified(order: Indices, labels: Indices, size: int) -> tuple[Indices, Indices]:
    """The first ``size`` of ``order`` with each class in proportion, and the rest."""
    # Position of a sample within its class, as a share of the class: taking the smallest
    # shares takes the same part of every class, to within one sample.
    share = np.empty(len(order))
    for label in np.unique(labels[order]):
        members = np.flatnonzero(labels[order] == label)
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    taken = np.argsort(share, kind="stable")[:size]
    chosen = np.zeros(len(order), bool)
    chosen[taken] = True
    return order[chosen], order[~chosen]
