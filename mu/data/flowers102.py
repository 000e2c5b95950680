"""Oxford's 102 flowers as RGB squares, through torchvision.

The published protocol trains on 1,020 images, validates on 1,020 and tests on 6,149. mu draws
validation images from the training images by itself, so these are the first two together, in the
order of the published lists: sample 1,020 is the first published validation image.

References
----------
Nilsback & Zisserman (2008), Automated Flower Classification over a Large Number of Classes,
ICVGIP.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import Flowers102

from mu.data.images import ImageDataset
from mu.data.published import Published

SIZE = 224


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``, the folder of ``flowers-102``, at ``image_size`` (224) pixels."""
    place = Published.at(data_dir, "flowers102", "Flowers102")
    size = image_size or SIZE
    with place.reading():
        found = [place.open(Flowers102, split=split) for split in ("train", "val", "test")]
        listed = (list(zip(one._image_files, one._labels, strict=True)) for one in found)
        train, val, test = listed
        images = place.squares(train + val, test, size)
        return place.dataset(*images, Flowers102.classes, image_size=size)
