"""Gradients by sample of the layers whose formula is short: what a layer took in, times what its
output's gradient is, summed over positions for each sample by itself.

References
----------
Goodfellow (2015), Efficient Per-Example Gradient Computations, arXiv:1510.01799; Rochette, Manoel
& Tramel (2019), Efficient Per-Example Gradient Computations in Convolutional Neural Networks,
arXiv:1912.06015.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Numbers of a piece: small enough for a core's cache, so that what is made of it costs no memory
# traffic, and large enough that calls do not count.
PIECE = 2**20


class Piece(NamedTuple):
    """Gradients by sample of a stretch of a parameter."""

    parameter: nn.Parameter
    start: int  # where the stretch begins in the flattened parameter
    # Of shape (n_samples, length of the stretch). Not to be written over: the gradients of two
    # parameters may share their memory.
    values: Tensor


def is_known(module: nn.Module) -> bool:
    """Whether :class:`Call` has the formula of a module, in evaluation mode."""
    if isinstance(module, nn.Conv2d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, _BatchNorm):
        return module.running_mean is not None
    return isinstance(module, nn.Linear | nn.LayerNorm)


class Call:
    """One call of a layer in a forward pass.

    ``taken``: what the layer took in: of shape (n_samples, ...). ``output``: what it gave. The
    gradient of that is written down in every backward pass; a hook sees that of the value as it is
    now, whatever later overwrites it in place.
    """

    def __init__(self, module: nn.Module, taken: Tensor, output: Tensor) -> None:
        self.module, self._taken = module, taken.detach()
        self._delta: Tensor | None = None
        if output.requires_grad:  # what no image leads to has no gradient to be seen
            output.register_hook(self._keep)  # type: ignore[no-untyped-call]

    @property
    def rows(self) -> int:
        """How many samples the layer took in, if it takes one a row."""
        return len(self._taken)

    def _keep(self, delta: Tensor) -> None:
        self._delta = delta

    def pieces(self) -> Iterator[Piece]:
        """The gradients of the layer's parameters; nothing where its output led nowhere."""
        if self._delta is None:
            return
        weight, bias = (self.module._parameters.get(name) for name in ("weight", "bias"))
        if weight is not None:
            if isinstance(self.module, nn.Conv2d) and _is_small(self.module, self.rows):
                yield Piece(weight, 0, self._of_groups(self.module))
            elif isinstance(self.module, nn.Conv2d | nn.Linear):
                yield from self._of_products(weight)
            else:
                yield Piece(weight, 0, self._over_positions(self._delta * self._normalised))
        if bias is not None:
            yield Piece(bias, 0, self._over_positions(self._delta))

    def release(self) -> None:
        """Let go of what further gradients would need."""
        self._taken, self._delta = self._taken.new_empty(0), None
        self.__dict__.pop("_columns", None)
        self.__dict__.pop("_normalised", None)

    def _of_products(self, weight: nn.Parameter) -> Iterator[Piece]:
        """Of a convolution or a linear layer: matrix products, some rows of the weight a time."""
        count, groups = len(self._taken), getattr(self.module, "groups", 1)
        delta, columns = self._signals
        fan_in, rows = columns.shape[1], delta.shape[1]  # of a group
        step = rows if groups > 1 else max(1, PIECE // (count * fan_in))
        for start in range(0, rows, step):
            values = delta[:, start : start + step] @ columns.mT
            yield Piece(weight, start * fan_in, values.view(count, -1))

    def _of_groups(self, module: nn.Conv2d) -> Tensor:
        """Of a convolution: the gradient of one with a group for each sample, all in one image."""
        assert self._delta is not None
        count, shape = self.rows, module.weight.shape
        delta, taken = (
            signal.contiguous().view(1, -1, *signal.shape[2:])
            for signal in (self._delta, self._taken)
        )
        repeated = module.weight.new_empty(count * shape[0], *shape[1:])  # only its shape is read
        found: Tensor = torch.ops.aten.convolution_backward(
            delta, taken, repeated, None, module.stride, module.padding, module.dilation,
            False, (0, 0), count, (False, True, False),
        )[1]  # fmt: skip
        return found.view(count, -1)

    @property
    def _signals(self) -> tuple[Tensor, Tensor]:
        """The output's gradient (n * groups, out, positions), and the input that it meets."""
        assert self._delta is not None
        if isinstance(self.module, nn.Conv2d):
            by_group = self._delta.flatten(2)
            if self.module.groups > 1:
                shape = (-1, self.module.out_channels // self.module.groups, by_group.shape[2])
                by_group = by_group.reshape(shape)
            return by_group, self._columns
        count, width = len(self._delta), self._delta.shape[-1]
        taken = self._taken.reshape(count, -1, self._taken.shape[-1])
        return self._delta.reshape(count, -1, width).mT, taken.mT

    def _over_positions(self, values: Tensor) -> Tensor:
        """Summed over all but the samples and what the layer has a parameter for."""
        count = len(values)
        if isinstance(self.module, nn.LayerNorm):
            return values.reshape(count, -1, self.module.weight.numel()).sum(1)
        if isinstance(self.module, nn.Linear):
            return values.reshape(count, -1, values.shape[-1]).sum(1)
        return values.flatten(2).sum(2) if values.ndim > 2 else values

    @cached_property
    def _columns(self) -> Tensor:
        """The patches that a convolution sees, (n_samples * groups, patch, positions).

        Kept for further gradients of the same call: an exact Fisher information asks for one
        a class.
        """
        module = self.module
        assert isinstance(module, nn.Conv2d)
        if {*module.kernel_size, *module.stride} == {1} and {*module.padding} == {0}:
            columns = self._taken.flatten(2)
        else:
            columns = _patches(self._taken, module)
        if module.groups == 1:
            return columns
        return columns.reshape(len(columns) * module.groups, -1, columns.shape[2])

    @cached_property
    def _normalised(self) -> Tensor:
        """What a normalisation multiplies its weight with."""
        if isinstance(self.module, nn.LayerNorm):
            return F.layer_norm(self._taken, self.module.normalized_shape, eps=self.module.eps)
        module = self.module
        assert isinstance(module, _BatchNorm)
        return F.batch_norm(self._taken, module.running_mean, module.running_var, eps=module.eps)


def _is_small(module: nn.Conv2d, count: int) -> bool:
    """Whether a convolution with a group for each of ``count`` samples is the fastest way.

    That spares the patches. oneDNN, which does it on a CPU in single precision, is fast with
    whole vectors of channels only, and as long as the gradients of all samples fit into a cache.
    """
    weight = module.weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and module.groups == 1
        and not {weight.shape[0] % 16, weight.shape[1] % 16} - {0}
        and max(weight.shape[2:]) > 1
        and count * weight.numel() <= 2 * PIECE
    )


def _patches(images: Tensor, module: nn.Conv2d) -> Tensor:
    """What ``torch.nn.functional.unfold`` gives: (n_samples, patch, positions).

    That copies number by number. A view of windows is copied in stretches as wide as the output,
    several times as fast where that is wide.
    """
    assert not isinstance(module.padding, str)
    high, wide = module.padding
    windows = F.pad(images.contiguous(), (wide, wide, high, high))
    for axis in (0, 1):
        spread = module.dilation[axis]
        reach = spread * (module.kernel_size[axis] - 1) + 1
        windows = windows.unfold(2 + axis, reach, module.stride[axis])[..., ::spread]
    # (n, channels, up, across, kernel height, kernel width)
    windows = windows.permute(0, 1, 4, 5, 2, 3)
    return windows.reshape(len(images), -1, windows.shape[4] * windows.shape[5])
