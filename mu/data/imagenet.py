"""ImageNet as published: ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``; always streamed.

The validation images are published in one folder; the script of the PyTorch examples, or
torchvision's ``ImageNet``, sorts them into folders by class.

References
----------
Russakovsky et al. (2015), ImageNet Large Scale Visual Recognition Challenge, IJCV 115.
"""

from __future__ import annotations

from pathlib import Path

from mu.data.imagefolder import streamed_folder
from mu.data.images import ImageDataset
from mu.distributed.place import usable_cores

# Of the training images; those that every published model of torchvision was trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Stream the folder with a worker for each core."""
    return stream(data_dir, image_size, usable_cores())


def stream(data_dir: Path | None, image_size: int | None, workers: int) -> ImageDataset:
    """The folder's images, as squares of ``image_size`` (default: 224)."""
    return streamed_folder("imagenet", data_dir, image_size, workers, (MEAN, STD))


def too_large(data_dir: Path | None, image_size: int | None) -> bool:
    """Always."""
    return True
