"""The seeded, stratified split of the published training images into train and validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.errors import UserError
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting

if TYPE_CHECKING:
    from mu.data.images import Indices


@dataclass(frozen=True)
class SplitSpec(Hyperparameters):
    """How the training images were split; part of every checkpoint's spec.

    The same spec gives the same split for ever, so a later step partitions exactly what the
    original was trained on.
    """

    split_seed: int = setting(
        0, help="seed of the train/validation split", low=0, high=LARGEST_SEED
    )
    val_share: float = setting(
        0.1, help="share of the images that is kept for validation", low=0.0, below=1.0
    )
    train_size: int | None = setting(
        None, help="train on that many images only, drawn class by class", low=1
    )


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint, sorted sample numbers of the published training set.

    Together they cover it: ``unused`` holds what ``train_size`` left out, or what is neither
    listed as trained on nor kept for validation.
    """

    train: Indices
    val: Indices
    unused: Indices


def split(labels: Indices, spec: SplitSpec, trained_on: Indices | None = None) -> Split:
    """Split the samples with these labels as ``spec`` says, each class in proportion.

    ``trained_on``: the training part, sorted, where it is known and not drawn; validation is drawn
    from the others. UserError if ``train_size`` asks for more images than validation leaves, or
    validation for more than ``trained_on``.
    """
    import numpy as np

    order = np.random.default_rng(spec.split_seed).permutation(len(labels))
    if trained_on is not None:
        return _around(trained_on, order, labels, spec)
    used, val_size = len(labels), round(spec.val_share * len(labels))
    if spec.train_size is not None:
        if spec.train_size > used - val_size:
            raise UserError(
                f"train_size={spec.train_size}: only {used - val_size} training images are left "
                "beside validation; give fewer, or a smaller val_share"
            )
        used = min(used, round(spec.train_size / (1 - spec.val_share)))
        val_size = used - spec.train_size
    chosen, unused = _stratified(order, labels, used)
    val, train = _stratified(chosen, labels, val_size)
    if not len(train):
        raise UserError(f"val_share={spec.val_share} leaves no training images; give less")
    return Split(np.sort(train), np.sort(val), np.sort(unused))


def _around(train: Indices, order: Indices, labels: Indices, spec: SplitSpec) -> Split:
    import numpy as np

    if spec.train_size is not None:
        raise UserError(
            f"train_size={spec.train_size}: trained_on lists the training images; leave one out"
        )
    others, val_size = order[~np.isin(order, train)], round(spec.val_share * len(labels))
    if val_size > len(others):
        raise UserError(
            f"val_share={spec.val_share:g} is {val_size:,} images, but only {len(others):,} are "
            "not in trained_on; leave val_share out, or give less"
        )
    val, unused = _stratified(others, labels, val_size)
    return Split(train, np.sort(val), np.sort(unused))


def _stratified(order: Indices, labels: Indices, size: int) -> tuple[Indices, Indices]:
    """The first of each class in ``order``, ``size`` in all and in proportion, and the rest.

    Every class gives its share of ``size`` to within one sample: rounded down, and one more for
    those with the largest remainders.
    """
    import numpy as np

    own = labels[order]
    classes, counts = np.unique(own, return_counts=True)
    exact = size * counts / max(len(order), 1)
    quota = np.floor(exact).astype(np.int64)
    most = np.argsort(quota - exact, kind="stable")
    quota[most[: size - quota.sum()]] += 1
    chosen = np.zeros(len(order), bool)
    for label, number in zip(classes, quota, strict=True):
        chosen[np.flatnonzero(own == label)[:number]] = True
    return order[chosen], order[~chosen]
