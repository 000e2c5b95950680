"""Data that tells when a pixel is read that is not to be."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from mu.data.forget_split import ForgetSplit
from mu.data.images import Images, Indices


class LookedError(AssertionError):
    """A pixel was read."""


class Pixels:
    """Bytes of images, of which some may not be read; nothing else can be done with them."""

    def __init__(self, pixels: Tensor, blind: Indices | slice) -> None:
        self._pixels, self._blind = pixels, torch.zeros(len(pixels), dtype=torch.bool)
        self._blind[blind] = True
        self.shape = pixels.shape

    def __getitem__(self, rows: Any) -> Tensor:
        if self._blind[rows].any():
            raise LookedError("an image was read that is not to be")
        return self._pixels[rows]

    def __getattr__(self, name: str) -> Any:
        raise LookedError(f"{name} of all images")


class Guarded(Images):
    """Images in memory with such pixels; labels, and how many there are, anyone may know."""

    def __post_init__(self) -> None:
        pass


def guarded(split: ForgetSplit, *blind: Indices, test: bool = False) -> ForgetSplit:
    """The same split of data whose training images with these numbers cannot be read.

    ``test``: whether test images cannot, either.
    """
    data = split.dataset
    numbers = torch.cat([torch.from_numpy(one) for one in blind]) if blind else slice(0)
    train = Guarded(Pixels(data.train.pixels, numbers), data.train.labels)
    all_of_test = Guarded(Pixels(data.test.pixels, slice(None)), data.test.labels)
    changed = {"train": train, **({"test": all_of_test} if test else {})}
    return dataclasses.replace(split, dataset=dataclasses.replace(data, **changed))
