"""SVHN, the cropped house numbers, 32x32 RGB, through torchvision; numbered as in its files.

The label of a digit is the digit; the files write 10 for 0. The extra training images are left
out.

References
----------
Netzer, Wang, Coates, Bissacco, Wu & Ng (2011), Reading Digits in Natural Images with Unsupervised
Feature Learning, NIPS Workshop on Deep Learning and Unsupervised Feature Learning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import SVHN

from mu.data.images import ImageDataset, Images
from mu.data.published import Published


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``, the folder of ``train_32x32.mat`` and ``test_32x32.mat``."""
    place = Published.at(data_dir, "svhn", "SVHN")
    with place.reading():
        train, test = (_images(place.open(SVHN, split=part)) for part in ("train", "test"))
        return place.dataset(train, test, map(str, range(10)))


def _images(part: Any) -> Images:
    return Images(torch.from_numpy(part.data).contiguous(), torch.from_numpy(part.labels))


# A mirrored digit is none; and the label is of the digit in the middle, with its neighbours in
# the image, so that a shifted crop would blur which one is meant.
