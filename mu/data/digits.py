"""Handwritten digits, 8x8 grey, 1,797 images; the set ships inside scikit-learn.

The set is published as one sequence. The last 360 images, by other writers than most of the
first ones, are the test set here, so that training sample numbers are the published ones.

References
----------
Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI. (Its test part.)
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from mu.data.images import ImageDataset, Images, channel_statistics

TEST_SIZE = 360


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load the digits; both arguments are not needed and ignored."""
    bunch = _published()
    # 17 grey levels (0-16), spread over a byte without merging any.
    grey = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    pixels = torch.from_numpy(grey)[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    cut = len(labels) - TEST_SIZE
    train, test = Images(pixels[:cut], labels[:cut]), Images(pixels[cut:], labels[cut:])
    mean, std = channel_statistics(train)
    names = tuple(str(name) for name in bunch.target_names)
    return ImageDataset("digits", train, test, names, mean, std)


@cache  # it is a text file, which takes longer to read than all the rest
def _published() -> Any:
    return load_digits()
