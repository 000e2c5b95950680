"""The data sets that torchvision reads; it downloads and checks them where there is a network.

Samples are numbered as in the published files and lists. Each function loads from ``data_dir``, by
default from a folder of the set's name in the cache.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import (
    CIFAR10,
    CIFAR100,
    GTSRB,
    MNIST,
    STL10,
    SVHN,
    FashionMNIST,
    Flowers102,
    OxfordIIITPet,
)

from mu.data.images import ImageDataset, Images, Statistics
from mu.data.published import Published
from mu.errors import UserError

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
CIFAR10_STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
# As in class_names.txt, which torchvision takes as it comes, and no checksum covers.
STL10_CLASSES = (
    "airplane", "bird", "car", "cat", "deer",
    "dog", "horse", "monkey", "ship", "truck",
)  # fmt: skip
# Where Debian's package dataset-fashion-mnist puts the four gzip files.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# What torchvision's classes call training and test images.
PARTS: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False})
SPLITS: tuple[dict[str, Any], ...] = ({"split": "train"}, {"split": "test"})


def cifar10(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """CIFAR-10, 32x32 RGB, from the folder that holds ``cifar-10-batches-py``.

    Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images.
    """
    remedy = "name its folder with data_dir, or use dataset=cifar10_jpeg"
    with Published.at(data_dir, "cifar10", "CIFAR-10", remedy=remedy) as place:
        return _in_memory(place, CIFAR10, PARTS, CIFAR10_CLASSES, CIFAR10_STATISTICS)


def cifar100(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """CIFAR-100 with its 100 fine classes, from the folder that holds ``cifar-100-python``.

    Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images.
    """
    with Published.at(data_dir, "cifar100", "CIFAR-100") as place:
        return _in_memory(place, CIFAR100, PARTS)


def mnist(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """MNIST, handwritten digits, 28x28 grey: torchvision's folder, or one of the four files.

    LeCun, Bottou, Bengio & Haffner (1998), Gradient-Based Learning Applied to Document
    Recognition, Proceedings of the IEEE 86(11).
    """
    remedy = "name the folder of its four files with data_dir"
    with Published.at(data_dir, "mnist", "MNIST", remedy=remedy) as place:
        return _of_four_files(place, MNIST)


def fashion_mnist(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Fashion-MNIST, 28x28 grey: torchvision's folder, or one of the four published files.

    Without ``data_dir``: Debian's package where it is installed, else a download.

    Xiao, Rasul & Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset, arXiv:1708.07747.
    """
    folder = data_dir or (DEBIAN if DEBIAN.is_dir() else None)
    remedy = "name the folder of its four files with data_dir (Debian: dataset-fashion-mnist)"
    with Published.at(folder, "fashion_mnist", "Fashion-MNIST", remedy=remedy) as place:
        return _of_four_files(place, FashionMNIST, ((0.2860,), (0.3530,)))


def svhn(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """SVHN, cropped house numbers, from the folder of ``train_32x32.mat`` and ``test_32x32.mat``.

    The label of a digit is the digit; the files write 10 for 0. The extra training images are left
    out.

    Netzer, Wang, Coates, Bissacco, Wu & Ng (2011), Reading Digits in Natural Images with
    Unsupervised Feature Learning, NIPS Workshop on Deep Learning and Unsupervised Feature Learning.
    """
    with Published.at(data_dir, "svhn", "SVHN") as place:
        return _in_memory(place, SVHN, SPLITS, map(str, range(10)))


class _Labelled(STL10):  # type: ignore[misc]
    """STL-10 that does not look for, nor check, the 2.6 GB of unlabelled images."""

    train_list = STL10.train_list[:2]


def stl10(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """STL-10, 96x96 RGB, labelled images only, from the folder that holds ``stl10_binary``.

    Coates, Lee & Ng (2011), An Analysis of Single-Layer Networks in Unsupervised Feature Learning,
    AISTATS.
    """
    with Published.at(data_dir, "stl10", "STL-10") as place:
        return _in_memory(place, _Labelled, SPLITS, STL10_CLASSES)


def gtsrb(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """GTSRB, 43 German traffic signs as RGB squares, from the folder that holds ``gtsrb``.

    Training images are numbered class by class, by file name; test images as in their list. This
    is the archive ``GTSRB-Training_fixed``, 26,640 images, that torchvision reads; much of the
    literature trains on the 39,209 of ``GTSRB_Final_Training_Images``.

    Stallkamp, Schlipsing, Salmen & Igel (2012), Man vs. Computer: Benchmarking Machine Learning
    Algorithms for Traffic Sign Recognition, Neural Networks 32.
    """
    with Published.at(data_dir, "gtsrb", "GTSRB") as place:
        train, test = (place.open(GTSRB, **split)._samples for split in SPLITS)
        place.check_counts(len(train), len(test))
        return place.squares(train, test, map(str, range(43)), image_size or 32)


def flowers102(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Oxford's 102 flowers as RGB squares, from the folder of ``flowers-102``.

    The published protocol trains on 1,020 images, validates on 1,020 and tests on 6,149. mu draws
    validation images from the training images by itself, so these are the first two together, in
    the order of the published lists: sample 1,020 is the first published validation image.

    Nilsback & Zisserman (2008), Automated Flower Classification over a Large Number of Classes,
    ICVGIP.
    """
    with Published.at(data_dir, "flowers102", "Flowers102") as place:
        found = [place.open(Flowers102, split=split) for split in ("train", "val", "test")]
        listed = (list(zip(one._image_files, one._labels, strict=True)) for one in found)
        train, val, test = listed
        return place.squares(train + val, test, Flowers102.classes, image_size or 224)


def oxford_pets(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Oxford-IIIT Pet, 37 breeds as RGB squares, from the folder of ``oxford-iiit-pet``.

    Trained on the published part ``trainval``, tested on ``test``.

    Parkhi, Vedaldi, Zisserman & Jawahar (2012), Cats and Dogs, CVPR.
    """
    with Published.at(data_dir, "oxford_pets", "Oxford-IIIT Pet") as place:
        found = [place.open(OxfordIIITPet, split=split) for split in ("trainval", "test")]
        train, test = (list(zip(one._images, one._labels, strict=True)) for one in found)
        place.check_counts(len(train), len(test))
        # The beginning of a file name is the breed.
        breeds = [{(p.stem.rpartition("_")[0], label) for p, label in one} for one in (train, test)]
        if breeds[0] != breeds[1] or len({label for _, label in breeds[0]}) != len(breeds[0]):
            raise ValueError("its lists disagree about the labels of the breeds")
        return place.squares(train, test, found[0].classes, image_size or 224)


def _images(part: Any) -> Images:
    """Pixels and labels of what torchvision has read into memory, in whichever layout."""
    pixels = torch.as_tensor(part.data)
    if pixels.ndim == 3:  # grey
        pixels = pixels[:, None]
    elif pixels.shape[3] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    labels = part.targets if hasattr(part, "targets") else part.labels
    return Images(pixels.contiguous(), torch.as_tensor(labels).long())


def _in_memory(
    place: Published,
    kind: Callable[..., Any],
    parts: Iterable[dict[str, Any]],
    classes: Iterable[str] | None = None,
    statistics: Statistics | None = None,
    root: Path | None = None,
) -> ImageDataset:
    """What torchvision's ``kind`` reads into memory; classes are by default its own."""
    train, test = (place.open(kind, root, **part) for part in parts)
    names = train.classes if classes is None else classes
    return place.dataset(_images(train), _images(test), names, statistics=statistics)


def _of_four_files(
    place: Published, kind: Callable[..., Any], statistics: Statistics | None = None
) -> ImageDataset:
    with tempfile.TemporaryDirectory() as scratch:
        root = _as_torchvision(kind.__name__, place.folder, Path(scratch))
        return _in_memory(place, kind, PARTS, None, statistics, root)


def _as_torchvision(name: str, folder: Path, scratch: Path) -> Path:
    """``folder`` itself, or a scratch copy in torchvision's layout of the published files."""
    found = [path for file in MNIST_FILES for path in sorted(folder.glob(f"{file}*"))[:1]]
    if len(found) < len(MNIST_FILES):
        return folder
    raw = scratch / name / "raw"
    raw.mkdir(parents=True)
    for file, path in zip(MNIST_FILES, found, strict=True):
        opener = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rb") as source, (raw / file).open("wb") as target:
                shutil.copyfileobj(source, target)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{str(path)!r} is damaged: {error}") from error
    return scratch
