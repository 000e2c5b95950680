"""Any folder, tar or zip of class folders: ``train/<class>/*`` with ``test/`` or ``val/`` beside.

Without such parts, the class folders lie in the root itself, and every fifth image of a class,
in the order of file names, belongs to the test set. Files are numbered class by class, sorted.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from mu.data.encoded import OfFolder
from mu.data.image_files import (
    DEFAULT_SIZE,
    STREAMED_SIZE,
    ImageTree,
    Sample,
    check_memory,
    classes_of,
    common_size,
    decode,
    fits_memory,
    samples_of,
)
from mu.data.images import ImageDataset, Images, channel_statistics
from mu.data.streaming import StreamedImages
from mu.errors import UserError

HOLD_OUT = 5
LOOKED_AT = 1000  # images that statistics of a streamed set are of


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load the folder; images become RGB squares of ``image_size`` (default: their own, or 64)."""
    tree = _tree(data_dir, "imagefolder")
    classes, train, test = parts_of(tree)
    size = image_size or common_size(tree, train + test)
    check_memory(len(train) + len(test), size, str(data_dir))
    images = decode(tree, train, size)
    mean, std = channel_statistics(images)
    return ImageDataset(
        "imagefolder",
        images,
        decode(tree, test, size),
        tuple(classes),
        mean,
        std,
        data_dir=str(data_dir),
        image_size=size,
    )


def stream(data_dir: Path | None, image_size: int | None, workers: int) -> ImageDataset:
    """The same, decoded as they are needed, at ``image_size`` (default: 224).

    Mean and deviation are of a thousand training images, spread evenly over all.
    """
    return streamed_folder("imagefolder", data_dir, image_size, workers)


def streamed_folder(
    name: str,
    data_dir: Path | None,
    image_size: int | None,
    workers: int,
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> ImageDataset:
    """A folder of class folders whose images are decoded as they are needed.

    Parameters
    ----------
    statistics
        Mean and deviation, where they are known.

    Raises
    ------
    UserError
        If it is an archive, in which no file can be reached without reading those before it.
    """
    tree = _tree(data_dir, name)
    if not tree.root.is_dir():
        raise UserError(
            f"{str(tree.root)!r} is an archive, which cannot be streamed; unpack it, or build a "
            f"file of images: mlflow run . -e dataset -P source={tree.root} -P out=FILE.lmdb"
        )
    classes, *parts = parts_of(tree)
    size = image_size or STREAMED_SIZE
    train, test = (
        StreamedImages(
            torch.tensor([label for _, label in samples], dtype=torch.int64),
            OfFolder(tree.root, tuple(path for path, _ in samples)),
            size,
            _identity(tree.root, samples),
            workers=workers,
        )
        for samples in parts
    )
    if statistics is None:
        rows = torch.linspace(0, len(train) - 1, min(len(train), LOOKED_AT)).long()
        statistics = channel_statistics(Images(train.fetch(rows), train.labels[rows]))
    return ImageDataset(
        name, train, test, tuple(classes), *statistics, data_dir=str(data_dir), image_size=size
    )


def too_large(data_dir: Path | None, image_size: int | None) -> bool:
    """Whether the images do not fit in memory."""
    _, train, test = parts_of(_tree(data_dir, "imagefolder"))
    return not fits_memory(len(train) + len(test), image_size or DEFAULT_SIZE)


def _tree(data_dir: Path | None, name: str) -> ImageTree:
    if data_dir is None:
        raise UserError(f"dataset={name} needs data_dir: a folder of class folders")
    return ImageTree(data_dir)


def _identity(root: Path, samples: list[Sample]) -> str:
    """sha256 (hex) of paths and sizes: reading all of a large set would take hours."""
    seen = hashlib.sha256()
    for path, _ in samples:
        seen.update(f"{path}/{(root / path).stat().st_size}\n".encode())
    return seen.hexdigest()


def parts_of(tree: ImageTree) -> tuple[list[str], list[Sample], list[Sample]]:
    """Classes, training samples and test samples."""
    if classes := classes_of(tree, "train"):
        held = [part for part in ("test", "val") if classes_of(tree, part)]
        if not held:
            raise UserError(f"{str(tree.root)!r} has train/ but neither test/ nor val/ beside it")
        if extra := set(classes_of(tree, held[0])) - set(classes):
            raise UserError(f"{held[0]}/ has classes that train/ lacks: {', '.join(sorted(extra))}")
        if len(classes) < 2:
            raise UserError(f"{str(tree.root)!r} has one class only in train/: {classes[0]}")
        return classes, samples_of(tree, "train", classes), samples_of(tree, held[0], classes)
    classes = classes_of(tree, "")
    if len(classes) < 2:
        raise UserError(
            f"{str(tree.root)!r} holds no class folders with images, or only one; name a folder or "
            "archive with train/ and test/ (or val/), or the class folders themselves, at its top"
        )
    train: list[Sample] = []
    test: list[Sample] = []
    seen = dict.fromkeys(range(len(classes)), 0)
    for sample in samples_of(tree, "", classes):
        seen[sample[1]] += 1
        (test if seen[sample[1]] % HOLD_OUT == 0 else train).append(sample)
    return classes, train, test
