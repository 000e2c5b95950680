"""A batch of maps of which some channels are the same in every image and at every pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Taken = Callable[..., Any]


class Places:
    """Which channels of a layer's output are alive, and which are constant: indices of each."""

    def __init__(self, alive: Tensor) -> None:
        self.mask = alive
        self.live = alive.nonzero().flatten()
        self.constant = (~alive).nonzero().flatten()


class Channels:
    """Maps, or features, of a batch; to functions that do not know it, a tensor of all channels.

    Parameters
    ----------
    live
        Of shape (n, live channels, ...).
    constant
        Of shape (1, constant channels, 1, ...).
    places
        Where in the tensor of all channels each of them is.
    """

    def __init__(self, live: Tensor, constant: Tensor, places: Places) -> None:
        self.live, self.constant, self.places = live, constant.to(live.dtype), places

    def dense(self) -> Tensor:
        """The tensor of all channels."""
        places, (n, _, *space) = self.places, self.live.shape
        whole = self.live.new_empty((n, len(places.mask), *space))
        whole = whole.index_copy(1, places.live, self.live)
        return whole.index_copy(1, places.constant, self.constant.expand(n, -1, *space))

    def changed(self, function: Callable[[Tensor], Tensor]) -> Channels:
        """Of a function that treats all values of a channel alike."""
        return Channels(function(self.live), function(self.constant), self.places)

    def dim(self) -> int:
        """As of the tensor."""
        return self.live.dim()

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Channels | Tensor:
        """As of the tensor."""
        if start_dim == 1 and end_dim in (-1, self.dim() - 1) and self.live[0, 0].numel() == 1:
            return self.changed(lambda one: one.flatten(1))
        return self.dense().flatten(start_dim, end_dim)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Channels):
            return _sum(self, other)
        return self.dense() + other

    __radd__ = __iadd__ = __add__

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, (int, float)):
            return self.changed(lambda one: one * other)
        return self.dense() * other

    __rmul__ = __imul__ = __mul__

    def __getattr__(self, name: str) -> Any:
        # What is changed in place would be the tensor that is made here.
        if name.startswith("__") or name.endswith("_"):
            raise AttributeError(name)
        return getattr(self.dense(), name)

    def __getitem__(self, index: Any) -> Tensor:
        return self.dense()[index]

    @classmethod
    def __torch_function__(
        cls,
        function: Taken,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What torch calls instead of its function where it is given such channels."""
        more = kwargs or {}
        if args and isinstance(args[0], Channels):
            if function in _ELEMENTWISE:
                return args[0].changed(lambda one: function(one, *args[1:], **more))
            if function in _POOLS:
                maps, constant = function(args[0].live, *args[1:], **more), args[0].constant
                return Channels(maps, constant.clone(), args[0].places)
            if function is torch.flatten:
                return args[0].flatten(*args[1:], **more)
            if function.__name__.endswith("_"):
                raise TypeError(f"{function.__name__} would change a copy in place")
        found = {name: dense(value) for name, value in more.items()}
        return function(*(dense(one) for one in args), **found)


def _of_tensors(name: str) -> Taken:
    return lambda self, *others: getattr(self.dense(), name)(*map(dense, others))


# Python looks these up in the class.
for _name in (
    *("sub", "rsub", "truediv", "rtruediv", "neg", "pow", "matmul", "len"),
    *("lt", "le", "gt", "ge", "eq", "ne"),
):
    setattr(Channels, f"__{_name}__", _of_tensors(f"__{_name}__"))

_ELEMENTWISE = {
    *(F.relu, F.relu6, F.gelu, F.silu, F.elu, F.leaky_relu, F.hardswish, F.hardsigmoid, F.hardtanh),
    *(torch.relu, torch.relu_, torch.sigmoid, torch.tanh),
}
# Of one number everywhere they give that number: a maximum never looks at the padding, and a mean
# over parts of the map has none.
_POOLS = {F.max_pool2d, torch.max_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}


def dense(value: Any) -> Any:
    """What is given, with tensors of all channels in the place of such channels."""
    if isinstance(value, Channels):
        return value.dense()
    if isinstance(value, (list, tuple)):
        return type(value)(dense(one) for one in value)
    return value


@lru_cache(maxsize=256)
def _together(one: Places, other: Places) -> tuple[Places, Tensor, Tensor]:
    """The places of a sum, and where among its live channels those of its terms are."""
    both = Places(one.mask | other.mask)
    rank = both.mask.cumsum(0) - 1
    return both, rank[one.live], rank[other.live]


def _sum(one: Channels, other: Channels) -> Channels | Tensor:
    """A channel of the sum is alive if it is alive in one of both."""
    both, first, second = _together(one.places, other.places)
    constants = _spread(one) + _spread(other)
    added = constants.index_select(1, both.live)
    dtype = torch.promote_types(one.live.dtype, other.live.dtype)
    if len(first) == len(both.live):
        live = (one.live + added).to(dtype).index_add(1, second, other.live.to(dtype))
    elif len(second) == len(both.live):
        live = (other.live + added).to(dtype).index_add(1, first, one.live.to(dtype))
    else:
        live = added.to(dtype).expand(len(one.live), -1, *one.live.shape[2:])
        live = live.index_add(1, first, one.live.to(dtype))
        live = live.index_add(1, second, other.live.to(dtype))
    if not len(both.constant):
        return live
    return Channels(live, constants.index_select(1, both.constant), both)


def _spread(one: Channels) -> Tensor:
    """The constants at their places, zeros at those of the live channels."""
    constant = one.constant
    shape = (1, len(one.places.mask), *constant.shape[2:])
    return constant.new_zeros(shape).index_copy(1, one.places.constant, constant)
