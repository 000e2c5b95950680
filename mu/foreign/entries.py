"""What the entries of a state dict are: weights, masks of a pruning, and a normalisation.

``torch.nn.utils.prune`` keeps a pruned parameter NAME as ``NAME_orig`` with ``NAME_mask``. The
networks of the paper's repository begin with a layer ``normalize`` that holds mean and standard
deviation of the channels, and so do others under other names; in mu the normalisation belongs to
the data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from mu.data.images import ImageDataset
from mu.errors import UserError

STATISTICS = (("mean", "std"), ("mu", "sigma"))  # what layers call them
MOST_CHANNELS = 4
ASSUMED, OF_FILE = "assumed: the data set's", "of the file"
LEVELS = 255.0  # of pixels that are not scaled
DIGITS = 4


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of a state dict, sorted out."""

    weights: Mapping[str, Tensor]  # by the names of a network that is not under pruning
    masks: Mapping[str, Tensor]  # by the names of the parameters
    # Mean and standard deviation of the channels, if the file holds them.
    normalisation: tuple[Tensor, Tensor] | None
    names: tuple[str, ...]  # theirs in the file
    # Names of single numbers that the network has not: counters of wrappers and profilers.
    numbers: tuple[str, ...]


def sort_out(
    tensors: Mapping[str, Tensor],
    own: Collection[str],
    around: Mapping[str, Tensor] | None = None,
) -> Entries:
    """Sort the entries of a state dict for a network whose own entries are named ``own``.

    ``around``: tensors in front of the network, where a normalisation may be as well. UserError if
    a mask is without weights, weights without their mask, or one of mean and standard deviation is
    missing.
    """
    weights: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        base = name.rpartition("_")[0]
        original, mask = f"{base}_orig", f"{base}_mask"
        if name not in own and name == original:
            if base in tensors:
                raise UserError(f"the file has both {base!r} and {name!r}; keep one of them")
            if mask not in tensors:
                raise UserError(
                    f"the file has {name!r} without {mask!r}; give the whole state dict"
                )
            weights[base] = tensor
        elif name not in own and name == mask and (base in tensors or original in tensors):
            masks[base] = tensor
        elif name not in own and name == mask and base in own:
            raise UserError(
                f"the file has the mask {name!r} without weights: neither {original!r} nor "
                f"{base!r} is there; give the whole state dict"
            )
        else:
            weights[name] = tensor
    everything = {**(around or {}), **weights}
    names = _statistics(weights, own, whole=True) or _statistics(around or {}, (), whole=False)
    normalisation = (everything[names[0]], everything[names[1]]) if names else None
    numbers = [
        name
        for name, one in weights.items()
        if name not in own and name not in names and one.numel() == 1
    ]
    for name in {*names, *numbers} & weights.keys():
        del weights[name]
    return Entries(weights, masks, normalisation, names, tuple(numbers))


def _statistics(
    tensors: Mapping[str, Tensor], own: Collection[str], *, whole: bool
) -> tuple[str, ...]:
    """The names of mean and standard deviation of the channels, if there is one pair of them.

    UserError if one of the two is missing and ``whole``.
    """
    pairs = {}
    for name, tensor in tensors.items():
        stem, dot, last = name.rpartition(".")
        names = next((pair for pair in STATISTICS if last in pair), ())
        if not names or name in own or tensor.numel() > MOST_CHANNELS:
            continue
        pair = tuple(f"{stem}{dot}{one}" for one in names)
        if all(one in tensors for one in pair):
            pairs[pair] = True
        elif whole:
            raise UserError(f"the file has {name!r}, but not both of {pair[0]!r} and {pair[1]!r}")
    return next(iter(pairs)) if len(pairs) == 1 else ()


# --- the normalisation ------------------------------------------------------------------------


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
        its_mean, its_std = entries.normalisation
        whose = f"{OF_FILE} ({', '.join(entries.names)})"
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
