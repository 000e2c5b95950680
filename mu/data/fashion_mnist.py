"""Fashion-MNIST, 28x28 grey, through torchvision.

References
----------
Xiao, Rasul & Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset, arXiv:1708.07747.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import FashionMNIST

from mu.data.images import ImageDataset
from mu.data.mnist_files import read_parts
from mu.data.published import Published

MEAN, STD = (0.2860,), (0.3530,)
# Where Debian's package dataset-fashion-mnist puts the four gzip files.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
REMEDY = "name the folder of its four files with data_dir (Debian: dataset-fashion-mnist)"


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``: torchvision's folder, or a folder of the four published files.

    Without ``data_dir``: Debian's package where it is installed, else a download.
    """
    folder = data_dir or (DEBIAN if DEBIAN.is_dir() else None)
    place = Published.at(folder, "fashion_mnist", "Fashion-MNIST", remedy=REMEDY)
    train, test = read_parts(FashionMNIST, place)
    classes = tuple(FashionMNIST.classes)
    return ImageDataset(place.name, train, test, classes, MEAN, STD, data_dir=str(place.folder))
