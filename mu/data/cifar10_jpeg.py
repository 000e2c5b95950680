"""All of CIFAR-10 as JPEG files in one tar: real images for machines without a download.

The tar holds ``train/<class>/0000.jpg`` and ``test/<class>/0000.jpg``. Its pixels are not
CIFAR-10's (JPEG, quality 75), so it is a data set of its own name. Where a file
``cifar10-order.npz`` (``train_labels``, ``test_labels``) lies beside the tar, samples are in
CIFAR-10's official order, so that sample numbers are the official ones; else class by class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mu.data.files.cache import cached_file, file_digest, load_cached, store_cached
from mu.data.files.decode import decode
from mu.data.files.parts import class_folders, labelled
from mu.data.files.tree import ImageTree
from mu.data.images import ImageDataset, Images
from mu.data.manifest import Manifest, PartFiles
from mu.data.torchvision_sets import CIFAR10_CLASSES as CLASSES
from mu.data.torchvision_sets import CIFAR10_STATISTICS
from mu.errors import UserError
from mu.readers.arrays import read_npz

NAME = "cifar10_jpeg"
TAR_NAME = "cifar10-jpeg.tar.xz"
ORDER_NAME = "cifar10-order.npz"
SIZE = 32
CACHED = np.dtype(
    [("pixels", np.uint8, (3, SIZE, SIZE)), ("label", np.int64), ("file", "S64"), ("sha256", "S64")]
)


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load the pack; ``data_dir`` names the tar or the folder that holds it."""
    if data_dir is None:
        raise UserError(f"dataset=cifar10_jpeg needs data_dir: the path of its {TAR_NAME}")
    tar = data_dir / TAR_NAME if data_dir.is_dir() else data_dir
    if not tar.is_file():
        raise UserError(f"there is no {TAR_NAME} in {str(data_dir)!r}; name the tar's path")
    order = _official_order(tar.with_name(ORDER_NAME))
    digest = file_digest(tar)
    (train, of_train), (test, of_test) = (
        _part(tar, digest, part, order.get(part)) for part in ("train", "test")
    )
    summary = f"{len(train):,} training and {len(test):,} test images in {tar}"
    return ImageDataset(
        NAME,
        train,
        test,
        CLASSES,
        *CIFAR10_STATISTICS,
        data_dir=str(data_dir),
        manifest=Manifest(str(tar), of_train, of_test, summary),
    )


def _part(tar: Path, digest: str, part: str, order: np.ndarray | None) -> tuple[Images, PartFiles]:
    """One part class by class (cached), then in the official order where that is known."""
    cache = cached_file(NAME, digest, part)
    found = load_cached(cache)
    if found is None or found.dtype != CACHED or found.ndim != 1:
        tree = ImageTree(tar)
        samples = labelled(class_folders(tree, part), CLASSES)
        if not samples:
            raise UserError(f"{str(tar)!r} holds no images {part}/<class>/*.jpg")
        images, files = decode(tree, samples, SIZE)
        found = np.empty(len(samples), CACHED)
        found["pixels"], found["label"] = images.pixels.numpy(), images.labels.numpy()
        found["file"], found["sha256"] = files.names, files.known
        store_cached(cache, found)
    if order is not None:
        # The k-th occurrence of a class in the official order is its k-th file.
        place = np.empty(len(order), np.int64)
        place[np.argsort(order, kind="stable")] = np.arange(len(order))
        if not np.array_equal(np.sort(order), found["label"]):
            raise UserError(f"{ORDER_NAME} beside {str(tar)!r} does not fit it; remove one")
        found = found[place]
    pixels, labels = (np.ascontiguousarray(found[name]) for name in ("pixels", "label"))
    names, digests = (found[name].astype(str).tolist() for name in ("file", "sha256"))
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels)), PartFiles(names, digests)


def _official_order(path: Path) -> dict[str, np.ndarray]:
    """Labels in CIFAR-10's official order, by part; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        file = read_npz(path.read_bytes())
        found = {part: file[f"{part}_labels"].astype(np.int64) for part in ("train", "test")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(path)!r} is damaged ({error!r}); repair or remove it") from error
    if any(labels.ndim != 1 or labels.min(initial=0) < 0 for labels in found.values()):
        raise UserError(f"{str(path)!r} holds no lists of labels; repair or remove it")
    return found
