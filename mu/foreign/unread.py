"""What stands for the objects of a file that are not made, and how arrays are read from theirs.

numpy restores an array by code of its own from what a pickle says. Here nothing of that runs: size,
type and bytes are kept as they stand in the file, and checked before a tensor is made of them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Types that a tensor can have, as numpy writes them, without the order of bytes.
TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")


class Unread(list[Any]):
    """Stands for an object of the file that is not made; takes whatever it is given."""

    state: Mapping[str, Any]

    def __new__(cls, *_: Any) -> Unread:
        """Any arguments; none is kept."""
        made = super().__new__(cls)
        made.state = {}
        return made

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, Mapping) else {}


class Items:
    """Stands for a mapping of a kind of its own: its entries are read."""

    def __new__(cls, *_: Any) -> OrderedDict[str, Any]:  # type: ignore[misc]
        """Any arguments; none is kept."""
        return OrderedDict()


class Type(Unread):
    """Stands for numpy's type of numbers: its code, and the order of bytes."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        super().__init__()
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|"):
            self.order = state[1]


class Array(Unread):
    """Stands for numpy's array: what it was given to restore itself from."""

    said: Any = None

    def __setstate__(self, state: Any) -> None:
        self.said = state

    def tensor(self) -> Tensor | None:
        """The array; None where it is of objects, or what was said of it does not fit together."""
        match self.said:
            case (_, tuple(shape), Type(code=str(code), order=order), fortran, bytes(content)):
                pass
            case _:
                return None
        sizes = all(type(one) is int and one >= 0 for one in shape)
        if code not in TYPES or not sizes or math.prod(shape) * int(code[1]) != len(content):
            return None
        flat = np.frombuffer(content, np.dtype(f"{order}{code}"))
        return tensor_of(flat.reshape(shape, order="F" if fortran else "C"))


def tensor_of(array: NDArray[Any]) -> Tensor | None:
    """The same numbers as a tensor; None of texts, dates and whatever else a tensor cannot have."""
    if array.dtype.str[1:] not in TYPES:
        return None
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))


# What a pickle of an array calls, and what takes its place.
OF_ARRAYS: Mapping[str, type] = {
    "numpy.core.multiarray._reconstruct": Array,
    "numpy.dtype": Type,
}
