"""MNIST, handwritten digits, 28x28 grey, through torchvision; numbered as in its files.

References
----------
LeCun, Bottou, Bengio & Haffner (1998), Gradient-Based Learning Applied to Document Recognition,
Proceedings of the IEEE 86(11).
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import MNIST

from mu.data.images import ImageDataset
from mu.data.mnist_files import read_parts
from mu.data.published import Published

REMEDY = "name the folder of its four files with data_dir"


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``: torchvision's folder, or a folder of the four published files."""
    place = Published.at(data_dir, "mnist", "MNIST", remedy=REMEDY)
    train, test = read_parts(MNIST, place)
    return place.dataset(train, test, MNIST.classes)


# A mirrored digit is none, and those of MNIST are centred by their mass already.
