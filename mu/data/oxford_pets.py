"""Oxford-IIIT Pet, 37 breeds of cats and dogs as RGB squares, through torchvision.

Trained on the published part ``trainval``, tested on ``test``; numbered as in their lists.

References
----------
Parkhi, Vedaldi, Zisserman & Jawahar (2012), Cats and Dogs, CVPR.
"""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import OxfordIIITPet

from mu.data.images import ImageDataset
from mu.data.published import Published

SIZE = 224
COUNTS = (3_680, 3_669)


def read(data_dir: Path | None = None, image_size: int | None = None) -> ImageDataset:
    """Load from ``data_dir``, the folder of ``oxford-iiit-pet``, at ``image_size`` (224) pixels."""
    place = Published.at(data_dir, "oxford_pets", "Oxford-IIIT Pet")
    size = image_size or SIZE
    with place.reading():
        train, test = (place.open(OxfordIIITPet, split=part) for part in ("trainval", "test"))
        place.check_counts((len(train), len(test)), COUNTS)
        listed = [list(zip(one._images, one._labels, strict=True)) for one in (train, test)]
        _check_breeds(*listed)
        images = place.squares(listed[0], listed[1], size)
        return place.dataset(*images, train.classes, image_size=size)


def _check_breeds(*listed: list[tuple[Path, int]]) -> None:
    """Refuse lists in which a breed, the beginning of a file name, has not one label throughout."""
    breeds = [{(path.stem.rpartition("_")[0], label) for path, label in part} for part in listed]
    labels = {label for _, label in breeds[0]}
    if breeds[0] != breeds[1] or len(labels) != len(breeds[0]):
        raise ValueError("its lists disagree about the labels of the breeds")
