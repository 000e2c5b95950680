"""A file of images that the entry ``dataset`` built, in memory or streamed.

Images are brought to RGB squares as ``imagefolder`` does, on all cores; grey ones stay grey.
Sample numbers are those of the file.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from mu.data.encoded import OfStore
from mu.data.image_files import (
    DEFAULT_SIZE,
    STREAMED_SIZE,
    check_memory,
    fits_memory,
    square_pixels,
)
from mu.data.images import ImageDataset, Images, ImageSet, channel_statistics
from mu.data.store.reader import ImageStore
from mu.data.streaming import StreamedImages
from mu.errors import UserError


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load the file that ``data_dir`` names, at ``image_size`` (default: their own, or 64).

    Raises
    ------
    UserError
        If there is no such file, it is damaged, or its images do not fit in memory.
    """
    with _opened(data_dir) as store:
        size = image_size or _own_size(store) or DEFAULT_SIZE
        check_memory(_count(store), size, str(data_dir))
        train, test = (_decoded(store, part, size) for part in ("train", "test"))
        return _dataset(store, train, test, size, channel_statistics(train))


def stream(data_dir: Path | None, image_size: int | None, workers: int) -> ImageDataset:
    """The same, decoded as they are needed, at ``image_size`` (default: their own, or 224)."""
    store = _opened(data_dir)
    size = image_size or _own_size(store) or STREAMED_SIZE
    train, test = (
        StreamedImages(
            torch.from_numpy(store.labels(part)),
            OfStore(store, part),
            size,
            f"{part} of {store.card.contents}",
            store.card.channels,
            workers,
        )
        for part in ("train", "test")
    )
    return _dataset(store, train, test, size, (store.card.mean, store.card.std))


def too_large(data_dir: Path | None, image_size: int | None) -> bool:
    """Whether the images do not fit in memory."""
    with _opened(data_dir) as store:
        size = image_size or _own_size(store) or DEFAULT_SIZE
        return not fits_memory(_count(store), size)


def _opened(data_dir: Path | None) -> ImageStore:
    if data_dir is None:
        raise UserError("dataset=lmdb needs data_dir: the file that mlflow run . -e dataset built")
    return ImageStore(data_dir)


def _count(store: ImageStore) -> int:
    return store.card.size("train") + store.card.size("test")


def _dataset(
    store: ImageStore,
    train: ImageSet,
    test: ImageSet,
    size: int,
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
) -> ImageDataset:
    return ImageDataset(
        "lmdb",
        train,
        test,
        store.card.classes,
        *statistics,
        data_dir=str(store.path),
        image_size=size,
    )


def _own_size(store: ImageStore) -> int | None:
    """The side of the images where all are squares of one size."""
    smallest, largest = store.card.smallest, store.card.largest
    return smallest[0] if smallest == largest and smallest[0] == smallest[1] else None


def _decoded(store: ImageStore, part: str, size: int) -> Images:
    labels = store.labels(part)
    pixels = np.empty((len(labels), store.card.channels, size, size), np.uint8)

    def decode(number: int) -> None:
        name = f"{part} image {number} of {str(store.path)!r}"
        image = square_pixels(name, store.image(part, number), size)
        pixels[number] = image.transpose(2, 0, 1)[: store.card.channels]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(labels))):
            pass
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels))
