"""A file of images that the entry ``dataset`` built, in memory or streamed.

Images are brought to RGB squares as ``imagefolder`` does, on all cores; grey ones stay grey.
Sample numbers are those of the file.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mu.data.files.decode import (
    DEFAULT_SIZE,
    STREAMED_SIZE,
    check_memory,
    fits_memory,
    square_pixels,
)
from mu.data.images import ImageDataset, Images, ImageSet, channel_statistics
from mu.data.manifest import Manifest, PartFiles
from mu.data.store.reader import PARTS, ImageStore
from mu.data.streaming import StreamedImages
from mu.errors import UserError


def read(
    data_dir: Path | None, image_size: int | None, stream: bool | None, workers: int
) -> ImageDataset:
    """Load the file that ``data_dir`` names, at ``image_size``.

    By default at the images' own size, or 64; where they are decoded as they are needed, 224.
    """
    if data_dir is None:
        raise UserError("dataset=lmdb needs data_dir: the file that mlflow run . -e dataset built")
    store = ImageStore(data_dir)
    card = store.card
    if image_size is None and card.smallest == card.largest and len({*card.largest}) == 1:
        image_size = card.largest[0]
    size, count = image_size or DEFAULT_SIZE, sum(map(card.size, PARTS))
    train: ImageSet
    test: ImageSet
    if stream or (stream is None and not fits_memory(count, size)):
        size, statistics = image_size or STREAMED_SIZE, (card.mean, card.std)
        train, test = (_streamed(store, part, size, workers) for part in PARTS)
        manifest = _manifest(store)
    else:
        check_memory(count, size, str(data_dir))
        train, test = images = [_decoded(store, part, size) for part in PARTS]
        statistics = channel_statistics(images[0])
        manifest = _manifest(store, read=True)
        store.close()
    return ImageDataset(
        "lmdb",
        train,
        test,
        card.classes,
        *statistics,
        data_dir=str(data_dir),
        image_size=size,
        manifest=manifest,
    )


def _manifest(store: ImageStore, *, read: bool = False) -> Manifest | None:
    """Which file each image was; None of a file of images that was built before names were kept.

    ``read``: all sha256 now, not as they are needed.
    """
    names, card = {part: store.names(part) for part in PARTS}, store.card
    if not all(names.values()):
        return None
    train, test = (
        PartFiles(names[part], (), partial(store.image, part), partial(store.length, part))
        for part in PARTS
    )
    if read:
        train, test = train.all_read(), test.all_read()
    counts = ", ".join(f"{card.size(part):,} {part} images" for part in PARTS)
    summary = f"{counts}, {len(card.classes)} classes, in {store.path}, built from {card.source}"
    return Manifest(str(store.path), train, test, summary)


def _streamed(store: ImageStore, part: str, size: int, workers: int) -> StreamedImages:
    return StreamedImages(
        torch.from_numpy(store.labels(part)),
        partial(store.named_image, part),
        size,
        f"{part} of {store.card.contents}",
        store.card.channels,
        workers,
    )


def _decoded(store: ImageStore, part: str, size: int) -> Images:
    labels = store.labels(part)
    pixels = np.empty((len(labels), store.card.channels, size, size), np.uint8)

    def decode(number: int) -> None:
        image = square_pixels(*store.named_image(part, number), size)
        pixels[number] = image.transpose(2, 0, 1)[: store.card.channels]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(labels))):
            pass
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels))
