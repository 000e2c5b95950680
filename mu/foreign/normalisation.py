"""How a network from elsewhere wants its images: as is given, or as the file says."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.foreign.entries import Entries

ASSUMED, OF_FILE = "assumed: the data set's", "of the file"
LEVELS = 255.0  # of pixels that are not scaled
DIGITS = 4


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel, of pixels scaled to 0-1, and whose they are."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    whose: str

    @property
    def of_file(self) -> bool:
        """Whether the file says so."""
        return self.whose.startswith(OF_FILE)

    def in_words(self) -> str:
        """The numbers, shortened."""
        return f"{shortened(self.mean)}, {shortened(self.std)}"


def normalisation_of(
    entries: Entries,
    dataset: ImageDataset,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Normalisation:
    """What is given, else what the file says, else the data set's.

    UserError if one of the two is missing, both the file and the user have them, or a number cannot
    be.
    """
    if (mean is None) != (std is None):
        raise UserError("give mean and std together, or neither")
    if entries.normalisation is not None:
        if mean is not None:
            raise UserError("the file brings its own normalisation; leave mean and std out")
        (its_mean, its_std), whose = (
            entries.normalisation,
            f"{OF_FILE} ({', '.join(entries.names)})",
        )
    elif mean is not None and std is not None:
        its_mean, its_std = (torch.tensor([*one], dtype=torch.float64) for one in (mean, std))
        whose = "given"
    else:
        return Normalisation(dataset.mean, dataset.std, ASSUMED)
    channels = dataset.shape[0]
    numbers = _numbers("mean", its_mean, channels, -inf), _numbers("std", its_std, channels, 0.0)
    if min(numbers[1]) > 1:  # pixels from 0 to 1 deviate by at most a half
        numbers = (_scaled(numbers[0]), _scaled(numbers[1]))
        whose += ", of pixels from 0 to 255"
    return Normalisation(*numbers, whose)


def _scaled(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(one / LEVELS for one in values)


def _numbers(name: str, values: Tensor, channels: int, above: float) -> tuple[float, ...]:
    """One finite number per channel, each above ``above``."""
    if values.numel() != channels:
        raise UserError(
            f"the normalisation's {name} is for {values.numel()} channels, but the images have "
            f"{channels}; name the dataset that the file was trained on"
        )
    found = tuple(map(float, values.flatten().tolist()))
    if not all(isfinite(one) and one > above for one in found):
        raise UserError(
            f"the normalisation's {name} is {shortened(found)}; its numbers must be finite, and "
            "those of std above 0"
        )
    return found


def shortened(values: Sequence[float]) -> str:
    """The numbers in few digits."""
    return " ".join(f"{one:.{DIGITS}g}" for one in values)
