"""CIFAR-100 with its 100 fine classes, 32x32 RGB, through torchvision; numbered as in its files.

References
----------
Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import CIFAR100

from mu.data.cifar10 import cifar_images
from mu.data.images import ImageDataset
from mu.data.published import Published


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``, the folder that holds ``cifar-100-python``."""
    place = Published.at(data_dir, "cifar100", "CIFAR-100")
    with place.reading():
        train, test = (place.open(CIFAR100, train=part) for part in (True, False))
        return place.dataset(cifar_images(train), cifar_images(test), train.classes)
