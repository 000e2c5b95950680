"""Any folder, tar or zip of class folders; :mod:`mu.data.files.parts` says which layouts are read.

Files are numbered class by class, in the order of torchvision's ``ImageFolder``.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import torch

from mu.data.files.decode import (
    DEFAULT_SIZE,
    STREAMED_SIZE,
    check_memory,
    common_size,
    decode,
    fits_memory,
)
from mu.data.files.folder import content_of
from mu.data.files.listing import Listing, Sample
from mu.data.files.parts import listing_of
from mu.data.files.tree import ImageTree
from mu.data.images import ImageDataset, Images, Statistics, channel_statistics
from mu.data.manifest import Manifest, PartFiles
from mu.data.streaming import StreamedImages
from mu.errors import UserError

LOOKED_AT = 1000  # images that statistics of a streamed set are of
# Of the training images; those that every published model of torchvision was trained with.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read(
    data_dir: Path | None, image_size: int | None, stream: bool | None, workers: int
) -> ImageDataset:
    """Load the folder; images become RGB squares of ``image_size`` pixels.

    By default their own size, or 64; where they are decoded as they are needed, 224. Mean and
    deviation are then of a thousand training images, spread evenly over all.
    """
    tree = _tree(data_dir, "imagefolder")
    listing = listing_of(tree)
    count = len(listing.train) + len(listing.test)
    if stream or (stream is None and not fits_memory(count, image_size or DEFAULT_SIZE)):
        return _streamed("imagefolder", tree, listing, image_size, workers)
    size = image_size or common_size(tree, listing.train + listing.test)
    check_memory(count, size, str(data_dir))
    (train, of_train), (test, of_test) = (
        decode(tree, part, size) for part in (listing.train, listing.test)
    )
    return ImageDataset(
        "imagefolder",
        train,
        test,
        listing.classes,
        *channel_statistics(train),
        data_dir=str(data_dir),
        image_size=size,
        manifest=Manifest(str(data_dir), of_train, of_test, str(listing), listing.skipped),
    )


def imagenet(
    data_dir: Path | None, image_size: int | None, stream: bool | None, workers: int
) -> ImageDataset:
    """ImageNet as published, ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``; always streamed.

    The validation images are published in one folder; the script of the PyTorch examples, or
    torchvision's ``ImageNet``, sorts them into folders by class.

    Russakovsky et al. (2015), ImageNet Large Scale Visual Recognition Challenge, IJCV 115.
    """
    tree = _tree(data_dir, "imagenet")
    return _streamed("imagenet", tree, listing_of(tree), image_size, workers, IMAGENET)


def _streamed(
    name: str,
    tree: ImageTree,
    listing: Listing,
    image_size: int | None,
    workers: int,
    statistics: Statistics | None = None,
) -> ImageDataset:
    """The images of a folder, decoded as they are needed.

    In an archive no file can be reached without reading those before it.
    """
    root = tree.root
    if not root.is_dir():
        raise UserError(
            f"{str(root)!r} is an archive, which cannot be streamed; unpack it, or build a "
            f"file of images: mlflow run . -e dataset -P source={root} -P out=FILE.lmdb"
        )
    size = image_size or STREAMED_SIZE
    train, test = (
        StreamedImages(
            torch.tensor([label for _, label in samples], dtype=torch.int64),
            partial(_file, root, tuple(path for path, _ in samples)),
            size,
            _identity(root, samples),
            workers=workers,
        )
        for samples in (listing.train, listing.test)
    )
    if statistics is None:
        rows = torch.linspace(0, len(train) - 1, min(len(train), LOOKED_AT)).long()
        statistics = channel_statistics(Images(train.fetch(rows), train.labels[rows]))
    return ImageDataset(
        name,
        train,
        test,
        listing.classes,
        *statistics,
        data_dir=str(root),
        image_size=size,
        manifest=Manifest(
            str(root),
            _unread(root, listing.train),
            _unread(root, listing.test),
            str(listing),
            listing.skipped,
        ),
    )


def _unread(root: Path, samples: list[Sample]) -> PartFiles:
    names = [path for path, _ in samples]

    def read(number: int) -> bytes:
        return content_of(root, names[number])

    def size_of(number: int) -> int:
        return (root / names[number]).stat().st_size

    return PartFiles(names, (), read, size_of)


def _file(root: Path, names: tuple[str, ...], number: int) -> tuple[str, bytes]:
    return names[number], content_of(root, names[number])


def _tree(data_dir: Path | None, name: str) -> ImageTree:
    if data_dir is None:
        raise UserError(f"dataset={name} needs data_dir: a folder of class folders")
    return ImageTree(data_dir)


def _identity(root: Path, samples: list[Sample]) -> str:
    """sha256 (hex) of paths and sizes: reading all of a large set would take hours."""
    seen = hashlib.sha256()
    for path, _ in samples:
        line = f"{path}/{(root / path).stat().st_size}\n"
        seen.update(line.encode(errors="surrogateescape"))
    return seen.hexdigest()
