"""STL-10, 96x96 RGB, through torchvision: its 5,000 labelled training images and its test set.

Numbered as in its files. The unlabelled images are not used; their file need not be there.

References
----------
Coates, Lee & Ng (2011), An Analysis of Single-Layer Networks in Unsupervised Feature Learning,
AISTATS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import STL10

from mu.data.images import ImageDataset, Images
from mu.data.published import Published

# As in class_names.txt, which torchvision takes as it comes, and no checksum covers.
CLASSES = (
    "airplane", "bird", "car", "cat", "deer",
    "dog", "horse", "monkey", "ship", "truck",
)  # fmt: skip


class _Labelled(STL10):  # type: ignore[misc]
    """STL-10 that does not look for, nor check, the 2.6 GB of unlabelled images."""

    train_list = STL10.train_list[:2]


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``, the folder that holds ``stl10_binary``."""
    place = Published.at(data_dir, "stl10", "STL-10")
    with place.reading():
        train, test = (_images(place.open(_Labelled, split=part)) for part in ("train", "test"))
        return place.dataset(train, test, CLASSES)


def _images(part: Any) -> Images:
    return Images(torch.from_numpy(part.data).contiguous(), torch.from_numpy(part.labels).long())
