"""Data sets ``package.module:function``: a function of the user's own that returns one.

It is called with ``data_dir`` (a path or None) and ``image_size`` (a number or None) and must
give the same data for the same values: every later step loads the data again by this name.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path

from mu.custom import call
from mu.data.images import ImageDataset, Images
from mu.errors import UserError


def read(name: str, data_dir: Path | None, image_size: int | None) -> ImageDataset:
    """What the function ``name`` returns, checked.

    UserError if there is no such function, or it returns no data set.
    """
    options = {"data_dir": data_dir, "image_size": image_size}
    found = call("dataset", name, options, needed=tuple(options))
    if not isinstance(found, ImageDataset):
        raise UserError(
            f"dataset {name} returns {type(found).__name__}, not a mu.data.images.ImageDataset"
        )
    if fault := _fault(found):
        raise UserError(f"dataset {name} returns an ImageDataset {fault}")
    mean, std = (tuple(map(float, one)) for one in (found.mean, found.std))
    place = None if data_dir is None else str(data_dir)
    return ImageDataset(name, found.train, found.test, found.classes, mean, std, place, image_size)


def _fault(found: ImageDataset) -> str | None:
    """What is wrong with it that its own checks do not see."""
    train, test = found.train, found.test
    if not isinstance(train, Images) or not isinstance(test, Images):
        return "whose train or test is no mu.data.images.Images"
    tensors = (train.pixels, train.labels, test.pixels, test.labels)
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return "whose tensors are not on the CPU"
    if not isinstance(found.classes, tuple) or not all(isinstance(c, str) for c in found.classes):
        return "whose classes are no tuple of names"
    channels = found.shape[0]
    if any(len(values) != channels for values in (found.mean, found.std)):
        return f"whose mean and std are not of {channels} channels"
    if not all(map(isfinite, (*found.mean, *found.std))) or min(found.std) <= 0:
        return "whose mean and std cannot normalise: finite numbers, std above 0"
    return None
