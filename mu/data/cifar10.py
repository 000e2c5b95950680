"""CIFAR-10 through torchvision, which downloads and checks it where there is a network.

References
----------
Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10

from mu.data.images import ImageDataset, Images
from mu.data.published import Published

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
REMEDY = "name its folder with data_dir, or use dataset=cifar10_jpeg"


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load CIFAR-10 from ``data_dir`` (default ``~/.cache/mu/cifar10``), downloading if needed."""
    place = Published.at(data_dir, "cifar10", "CIFAR-10", remedy=REMEDY)
    with place.reading():
        train, test = (cifar_images(place.open(CIFAR10, train=part)) for part in (True, False))
    return ImageDataset(place.name, train, test, CLASSES, MEAN, STD, data_dir=str(place.folder))


def cifar_images(part: Any) -> Images:
    """Pixels and labels of what torchvision has read."""
    pixels = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.tensor(part.targets, dtype=torch.int64))
