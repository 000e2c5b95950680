"""Images in memory, and the data sets made of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.data.manifest import COLUMNS, Manifest, PartFiles
from mu.errors import UserError

Indices = NDArray[np.int64]
Statistics = tuple[
    tuple[float, ...], tuple[float, ...]
]  # mean and standard deviation of each channel


class ImageSet(ABC):
    """Images with labels, wherever their pixels are.

    ``labels``: int64 of shape (n,), each in 0 .. classes - 1.
    """

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""

    @abstractmethod
    def fetch(self, rows: Tensor) -> Tensor:
        """Pixels of these samples, uint8 of shape (len(rows), channels, height, width)."""

    @abstractmethod
    def digest(self) -> bytes:
        """sha256 of what tells it from other sets."""

    @abstractmethod
    def relabelled(self, labels: Tensor) -> ImageSet:
        """The same images with other labels, int64 of shape (n,)."""


@dataclass(frozen=True, eq=False)
class Images(ImageSet):
    """In memory: pixels, uint8 of shape (n, channels, height, width), and labels."""

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            raise TypeError("pixels must be uint8 of shape (n, channels, height, width)")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.pixels.shape[:1]:
            raise TypeError("labels must be int64 of shape (n,)")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def fetch(self, rows: Tensor) -> Tensor:
        """See :meth:`ImageSet.fetch`."""
        return self.pixels[rows]

    def digest(self) -> bytes:
        """sha256 of shape, pixels and labels."""
        seen = hashlib.sha256(repr(tuple(self.pixels.shape)).encode())
        seen.update(self.pixels.contiguous().numpy().data)
        seen.update(self.labels.contiguous().numpy().data)
        return seen.digest()

    def relabelled(self, labels: Tensor) -> Images:
        """See :meth:`ImageSet.relabelled`."""
        return replace(self, labels=labels)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A named data set: training and test images as published, and how to normalise them.

    Sample numbers, everywhere in mu, are positions in ``train`` as published.
    """

    # name, data_dir, image_size: what to ask for to load the same data again.
    name: str
    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]  # class names, by label
    # mean, std: per channel, of pixels scaled to 0-1.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data_dir: str | None = None
    image_size: int | None = None
    manifest: Manifest | None = None  # which file each image is, of a data set of image files

    def __post_init__(self) -> None:
        if not len(self.train) or not len(self.test):
            raise UserError(f"the data set {self.name!r} has no training or no test images")
        if self.train.shape != self.test.shape:
            raise UserError(f"training and test images of {self.name!r} differ in size")
        labels = torch.cat([self.train.labels, self.test.labels])
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= len(self.classes):
            raise UserError(
                f"the data set {self.data_dir or self.name!r} has labels from {lowest} to "
                f"{highest}, but {len(self.classes)} classes; its files are damaged, replace them"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.train.shape

    @property
    def streams(self) -> bool:
        """Whether its images are decoded as they are needed, since they do not fit in memory."""
        return not isinstance(self.train, Images)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of all pixels, labels and class names: the same data, wherever it lies."""
        seen = hashlib.sha256("\n".join(self.classes).encode())
        seen.update(self.train.digest())
        seen.update(self.test.digest())
        return seen.hexdigest()

    @property
    def published_labels(self) -> Tensor:
        """Labels of the training images as published, (n,); what splits are drawn by."""
        return self.train.labels

    @property
    def poisoned(self) -> Indices:
        """Sample numbers of poisoned training images, sorted; none of data as published."""
        return np.array([], np.int64)

    def file_rows(
        self, chosen: Mapping[str, Iterable[int]], *, read: bool = False
    ) -> list[dict[str, Any]]:
        """A row for each of the ``chosen`` images, by part: number, file, class, sha256.

        sha256 stays empty where the files were not read yet, unless they are to be ``read``.
        """
        labels = {"train": self.published_labels, "test": self.test.labels}
        rows = []
        for part, numbers in chosen.items() if self.manifest else ():
            files: PartFiles = getattr(self.manifest, part)
            for number in numbers:
                name = self.classes[int(labels[part][number])]
                digest = files.digest(number) if files.known or read else ""
                row = (part, number, files.names[number], name, digest)
                rows.append(dict(zip(COLUMNS, row, strict=True)))
        return rows

    def training_subset(self, indices: Indices) -> Subset:
        """The training samples with these numbers."""
        return Subset(self.train, indices, self.mean, self.std)

    def test_subset(self, indices: Indices | None = None) -> Subset:
        """The test samples with these numbers, by default all."""
        chosen = np.arange(len(self.test)) if indices is None else indices
        return Subset(self.test, chosen, self.mean, self.std)


@dataclass(frozen=True, eq=False)
class Subset:
    """Some samples of a set of images, with the normalisation that their model expects."""

    images: ImageSet  # the whole set; it is never copied
    indices: Indices  # int64 of shape (n_samples,): which samples, in which order
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> Tensor:
        """int64 of shape (n_samples,)."""
        return self.images.labels[torch.from_numpy(self.indices)]

    def part(self, first: int, last: int) -> Subset:
        """The samples at the places ``first <= place < last``."""
        return replace(self, indices=self.indices[first:last])

    def drawn(self, count: int, draws: torch.Generator) -> Subset:
        """At most ``count`` of the samples, in their order."""
        if count >= len(self):
            return self
        chosen = torch.randperm(len(self), generator=draws)[:count].sort().values.numpy()
        return replace(self, indices=self.indices[chosen])


def channel_statistics(images: Images) -> Statistics:
    """Exact mean and standard deviation per channel of pixels scaled to 0-1, by a histogram."""
    channels = range(images.pixels.shape[1])
    flat = (images.pixels[:, channel].reshape(-1) for channel in channels)
    return statistics_of(torch.stack([torch.bincount(one, minlength=256) for one in flat]).numpy())


def statistics_of(counts: NDArray[np.int64]) -> Statistics:
    """Mean and standard deviation per channel, of counts of its values, (channels, 256)."""
    values = np.arange(256) / 255
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    means = share @ values
    variances = (share * (values - means[:, None]) ** 2).sum(1)
    deviations = (round(float(one), 6) or 1.0 for one in np.sqrt(variances))
    return tuple(round(float(one), 6) for one in means), tuple(deviations)
