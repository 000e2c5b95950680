"""Targets that tests name as users name data sets of their own: ``package.module:function``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mu.data.images import ImageDataset
from tests.helpers import make_dataset

CLASSES = 4


def bright(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Grey images as small as the digits, each class brighter than the one before."""
    made = make_dataset(train=80, test=40, classes=CLASSES, names=_names("bright"))
    return replace(made, mean=(0.9,), std=(0.02,))  # as no source is normalised


def coloured(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """The same with three channels."""
    return make_dataset(train=80, test=40, classes=CLASSES, names=_names("coloured"), channels=3)


def _names(kind: str) -> Sequence[str]:
    return [f"{kind}_{label}" for label in range(CLASSES)]


def of_another_kind() -> ImageDataset:
    """A function that is not called as data sets are."""
    return bright()
