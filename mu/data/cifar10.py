"""CIFAR-10 through torchvision, which downloads and checks it where there is a network.

References
----------
Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.datasets import CIFAR10

from mu.data.images import ImageDataset, Images, Source
from mu.errors import UserError

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load CIFAR-10 from ``data_dir`` (default ``~/.cache/mu/cifar10``), downloading if needed."""
    folder = data_dir or Path.home() / ".cache" / "mu" / "cifar10"
    train, test = (_part(folder, train=part) for part in (True, False))
    return ImageDataset("cifar10", train, test, CLASSES, MEAN, STD, data_dir=str(folder))


def _part(folder: Path, *, train: bool) -> Images:
    try:
        part = CIFAR10(folder, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"CIFAR-10 is neither in {str(folder)!r} nor can it be downloaded ({error}); "
            "name its folder with data_dir, or use dataset=cifar10_jpeg"
        ) from error
    pixels = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.tensor(part.targets, dtype=torch.int64))


SOURCE = Source(read, arch="resnet18")
