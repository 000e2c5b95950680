"""Any folder, tar or zip of class folders: ``train/<class>/*`` with ``test/`` or ``val/`` beside.

Without such parts, the class folders lie in the root itself, and every fifth image of a class,
in the order of file names, belongs to the test set. Files are numbered class by class, sorted.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import torch

from mu.data.image_files import (
    DEFAULT_SIZE,
    STREAMED_SIZE,
    ImageTree,
    Sample,
    check_memory,
    class_folders,
    common_size,
    decode,
    fits_memory,
    labelled,
)
from mu.data.images import ImageDataset, Images, Statistics, channel_statistics
from mu.data.streaming import StreamedImages
from mu.errors import UserError

HOLD_OUT = 5
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
    classes, train, test = parts_of(tree)
    count = len(train) + len(test)
    if stream or (stream is None and not fits_memory(count, image_size or DEFAULT_SIZE)):
        return _streamed("imagefolder", tree, image_size, workers)
    size = image_size or common_size(tree, train + test)
    check_memory(count, size, str(data_dir))
    images = decode(tree, train, size)
    return ImageDataset(
        "imagefolder",
        images,
        decode(tree, test, size),
        tuple(classes),
        *channel_statistics(images),
        data_dir=str(data_dir),
        image_size=size,
    )


def imagenet(
    data_dir: Path | None, image_size: int | None, stream: bool | None, workers: int
) -> ImageDataset:
    """ImageNet as published, ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``; always streamed.

    The validation images are published in one folder; the script of the PyTorch examples, or
    torchvision's ``ImageNet``, sorts them into folders by class.

    Russakovsky et al. (2015), ImageNet Large Scale Visual Recognition Challenge, IJCV 115.
    """
    return _streamed("imagenet", _tree(data_dir, "imagenet"), image_size, workers, IMAGENET)


def _streamed(
    name: str,
    tree: ImageTree,
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
    classes, *parts = parts_of(tree)
    size = image_size or STREAMED_SIZE
    train, test = (
        StreamedImages(
            torch.tensor([label for _, label in samples], dtype=torch.int64),
            partial(_file, root, tuple(path for path, _ in samples)),
            size,
            _identity(root, samples),
            workers=workers,
        )
        for samples in parts
    )
    if statistics is None:
        rows = torch.linspace(0, len(train) - 1, min(len(train), LOOKED_AT)).long()
        statistics = channel_statistics(Images(train.fetch(rows), train.labels[rows]))
    return ImageDataset(
        name, train, test, tuple(classes), *statistics, data_dir=str(root), image_size=size
    )


def _file(root: Path, names: tuple[str, ...], number: int) -> tuple[str, bytes]:
    """Path and bytes of a file below ``root``."""
    try:
        return names[number], (root / names[number]).read_bytes()
    except OSError as error:
        raise UserError(
            f"{names[number]!r} in {str(root)!r} cannot be read ({error}); the folder has changed "
            "since it was listed"
        ) from error


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
    if found := class_folders(tree, "train"):
        parts = ((part, class_folders(tree, part)) for part in ("test", "val"))
        part, held = next((one for one in parts if one[1]), ("", {}))
        if not held:
            raise UserError(f"{str(tree.root)!r} has train/ but neither test/ nor val/ beside it")
        if extra := sorted(held.keys() - found.keys()):
            raise UserError(f"{part}/ has classes that train/ lacks: {', '.join(extra)}")
        if len(found) < 2:
            raise UserError(f"{str(tree.root)!r} has one class only in train/: {', '.join(found)}")
        return [*found], labelled(found, found), labelled(held, found)
    found = class_folders(tree, "")
    if len(found) < 2:
        raise UserError(
            f"{str(tree.root)!r} holds no class folders with images, or only one; name a folder or "
            "archive with train/ and test/ (or val/), or the class folders themselves, at its top"
        )
    held = {name: paths[HOLD_OUT - 1 :: HOLD_OUT] for name, paths in found.items()}
    kept = {
        name: [one for n, one in enumerate(paths, 1) if n % HOLD_OUT]
        for name, paths in found.items()
    }
    return [*found], labelled(kept, found), labelled(held, found)
