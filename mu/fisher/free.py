"""The free weights of a masked network as one vector: everything that is not pruned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mu.fisher.layers import Piece
from mu.masks import Mask


class FreeWeights:
    """Where each parameter of a network stands in the vector of its free weights.

    Parameters that the mask does not name (biases, normalisation, the head) are free as a whole.
    Pruned weights have no place at all, which is what makes second-order methods cheap on sparse
    networks. The order is that of ``named_parameters``. ``size``: how many there are.
    """

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        self._parameters = dict(model.named_parameters())
        self._kept: dict[nn.Parameter, Tensor | None] = {}
        # The same where the host can read it, so that it need not wait for the device.
        self._on_host: dict[nn.Parameter, NDArray[np.int64]] = {}
        self._places: dict[nn.Parameter, slice] = {}
        start = 0
        for name, parameter in self._parameters.items():
            kept = None
            if name in mask and not bool((chosen := mask[name]).all()):
                numbers = chosen.reshape(-1).nonzero().squeeze(1)
                self._on_host[parameter] = numbers.numpy()
                kept = numbers.to(parameter.device)
            count = parameter.numel() if kept is None else len(kept)
            self._kept[parameter], self._places[parameter] = kept, slice(start, start + count)
            start += count
        self.size = start

    def rows(self, pieces: Iterable[Piece], into: Tensor) -> Tensor:
        """Write gradients by sample into the matrix ``into`` (n_samples, size)."""
        into.zero_()
        for parameter, start, values in pieces:
            kept, place = self._kept[parameter], self._places[parameter]
            if kept is None:
                first = place.start + start
                into[:, first : first + values.shape[1]] = values
                continue
            bounds = (start, start + values.shape[1])
            low, high = np.searchsorted(self._on_host[parameter], bounds).tolist()
            columns = into[:, place.start + low : place.start + high]
            torch.index_select(values, 1, kept[low:high] - start, out=columns)
        return into

    def vector(self, values: Iterable[Tensor]) -> Tensor:
        """Tensors in the order of the parameters, each of its shape, as a vector (size,)."""
        parts = []
        for parameter, value in zip(self._parameters.values(), values, strict=True):
            kept = self._kept[parameter]
            parts.append(value.reshape(-1) if kept is None else value.reshape(-1)[kept])
        return torch.cat(parts)

    def now(self) -> Tensor:
        """The weights as they are: a vector (size,) of its own."""
        return self.vector(one.detach() for one in self._parameters.values())

    def tensors(self, vector: Tensor) -> Iterator[tuple[str, Tensor]]:
        """What stands in ``vector`` (size,) for each parameter, by name; zero where pruned."""
        for name, parameter in self._parameters.items():
            values, kept = vector[self._places[parameter]], self._kept[parameter]
            if kept is not None:
                values = values.new_zeros(parameter.numel()).index_copy_(0, kept, values)
            yield name, values.view(parameter.shape)

    @torch.no_grad()
    def write(self, vector: Tensor) -> None:
        """Set the free weights to ``vector`` (size,); pruned ones become exactly zero."""
        for name, values in self.tensors(vector):
            self._parameters[name].copy_(values)
