"""GTSRB, 43 German traffic signs as RGB squares, through torchvision.

Training images are numbered class by class, by file name; test images as in their list. This is
the archive ``GTSRB-Training_fixed``, 26,640 images, that torchvision reads; much of the
literature trains on the 39,209 of ``GTSRB_Final_Training_Images``.

References
----------
Stallkamp, Schlipsing, Salmen & Igel (2012), Man vs. Computer: Benchmarking Machine Learning
Algorithms for Traffic Sign Recognition, Neural Networks 32.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import GTSRB

from mu.data.images import ImageDataset
from mu.data.published import Published

SIZE = 32
COUNTS = (26_640, 12_630)


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``, the folder that holds ``gtsrb``, at ``image_size`` (32) pixels."""
    place = Published.at(data_dir, "gtsrb", "GTSRB")
    size = image_size or SIZE
    with place.reading():
        train, test = (place.open(GTSRB, split=part)._samples for part in ("train", "test"))
        place.check_counts((len(train), len(test)), COUNTS)
        images = place.squares(train, test, size)
        return place.dataset(*images, map(str, range(43)), image_size=size)


# A mirrored sign is another one: keep left, keep right.
