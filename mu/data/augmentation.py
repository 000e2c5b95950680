"""How training images are augmented: shifted, mirrored, or neither."""

from __future__ import annotations

from typing import NamedTuple

RANDOM, ALTERNATE = "random", "alternate"


class Augmentation(NamedTuple):
    """What is done to each image, each time that it is trained on."""

    padding: int = 0  # pixels by which it is shifted at the most, in each direction
    # Whether what comes into view is the image reflected at its edge, not zeros
    reflects: bool = False
    # ``random``: with probability one half. ``alternate``: so in the first epoch, and then in every
    # other epoch the opposite way (Jordan 2024, arXiv:2404.00498, section 3.6): any two epochs that
    # follow each other show both. None: never.
    mirrors: str | None = None


AUGMENTATIONS = {
    "none": Augmentation(),
    "crop": Augmentation(4),
    "crop_flip": Augmentation(4, mirrors=RANDOM),
    "crop_alternate": Augmentation(4, mirrors=ALTERNATE),
    "shift": Augmentation(2, reflects=True),
    "shift_flip": Augmentation(2, reflects=True, mirrors=RANDOM),
    "shift_alternate": Augmentation(2, reflects=True, mirrors=ALTERNATE),
}
