"""Images known by their pixels, where they have no files, or where files differ in other things."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import prod

import torch

from mu.data.images import ImageDataset, ImageSet, Indices
from mu.data.planted import PlantedDataset

MOST_BYTES = 1 << 26  # of pixels at a time


def pixel_digests(images: ImageSet, numbers: Indices) -> Iterator[tuple[int, str]]:
    """Each number with the sha256 (hex) of the pixels of its image.

    The bytes are those of ``images.fetch(rows)[i].numpy().tobytes()``: one a pixel and channel,
    0-255, first all of the first channel row by row, then those of the next; no header, no label.
    They are the pixels as mu has them: of the size that the data set was read in.
    """
    rows = max(1, MOST_BYTES // prod(images.shape))
    for start in range(0, len(numbers), rows):
        part = numbers[start : start + rows]
        pixels = images.fetch(torch.from_numpy(part)).contiguous().numpy()
        for number, one in zip(part.tolist(), pixels, strict=True):
            yield number, hashlib.sha256(one).hexdigest()


def published(dataset: ImageDataset) -> ImageDataset:
    """The data as it was published, before anything was planted: what a person can have sent."""
    return dataset.clean if isinstance(dataset, PlantedDataset) else dataset
