"""The positive linear twin of a network, whose output adds up the paths from input to output.

Tanaka et al. (2020) take every weight's absolute value and drop what is not linear; their networks
are convolutions, batch normalisation and ReLU. Here is the same for what else the classifiers of
torchvision are made of. Where two signals are multiplied, they are added, so that the twin stays
linear and every weight still lies on a path.

What each layer passes on is divided by its mean. Where layers follow one another, that scales all
paths alike and changes no rank. Where branches join, each brings a signal of its normalised size,
as in the network itself, whatever is left of its weights. Without that, a 3x3 branch outweighs the
1x1 shortcut beside it by far, and at 99 % the shortcuts of a ResNet-18, blocks of a
MobileNetV3 and all blocks of a Swin lose their last weight. (The products also pass the largest
float32, in a ResNet-50 by far.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.convnext import CNBlock, LayerNorm2d
from torchvision.models.maxvit import RelativePositionalMultiHeadAttention
from torchvision.models.swin_transformer import ShiftedWindowAttention
from torchvision.ops.misc import SqueezeExcitation

from mu.masks import Mask
from mu.pruning.scoring.probe import exchanged

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
PER_CHANNEL = (nn.modules.batchnorm._NormBase, nn.GroupNorm, LayerNorm2d)
PER_FEATURE = (nn.LayerNorm, nn.RMSNorm)  # scale the last dimensions
ACTIVATIONS = tuple(
    getattr(nn, name)
    for name in nn.modules.activation.__all__
    if name not in ("MultiheadAttention", "GLU")  # which do more than bend one signal
)


class Twin:
    """The positive linear twin of a masked network.

    Weights are absolute values, pruned ones zero. Biases are zero, so that the input is the only
    source and the same total flows through every cut. A weight that is all zero, like the head
    that vision transformers start with, would cut every path before anything is pruned: ones
    stand for it. Max pooling stays: the strongest path passes.

    All is float64: the rounding of float32 would decide between paths that are nearly equal, on
    each device in its own way. ``model``: it is copied.
    """

    def __init__(self, model: nn.Module, mask: Mask, device: torch.device) -> None:
        network = copy.deepcopy(model).to(device, torch.float64).requires_grad_(True)
        self._parameters = dict(network.named_parameters())
        # What slopes are multiplied by: the weights themselves, and the biases as they were.
        self._sizes: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            self._sizes[name] = _make_positive(name.rpartition(".")[2], parameter.detach())
        for name, fixed in network.named_buffers():
            if name.endswith("weight"):
                fixed.abs_()
        self._network = exchanged(network.eval(), linear)  # in training, dropout would draw
        self.prune(mask)

    def prune(self, mask: Mask) -> None:
        """Set the weights that ``mask`` prunes to zero."""
        for name in mask:
            self._sizes[name].masked_fill_(~mask[name].to(self._sizes[name].device), 0.0)

    def path_sums(self, inputs: Tensor, names: list[str]) -> dict[str, Tensor]:
        """For each weight of the parameters ``names``, the sum of the paths through it.

        A path is worth its input times the product of its weights, over the mean of each layer
        that it passes. A path through a bias begins there, at a one. ``inputs``: float64 of shape
        (n, channels, height, width), not negative.
        """
        weights = [self._parameters[name] for name in names]
        slopes = torch.autograd.grad(
            self._network(inputs).sum(), weights, allow_unused=True, materialize_grads=True
        )
        return {n: slope.mul_(self._sizes[n]) for n, slope in zip(names, slopes, strict=True)}


def _make_positive(kind: str, values: Tensor) -> Tensor:
    """Edit a parameter's ``values`` in place; what its slopes are to be multiplied by."""
    values.abs_()
    if kind.endswith("weight") and not bool(values.any()):
        values.fill_(1.0)
    if "bias" not in kind:
        return values
    sizes = values.clone()
    values.zero_()
    return sizes


def linear(module: nn.Module) -> nn.Module:
    """What stands for ``module``, whose parts are linear already, in the twin."""
    if isinstance(module, LAYERS):
        module.register_forward_hook(lambda _module, _inputs, signal: levelled(signal))
    if isinstance(module, PER_CHANNEL + PER_FEATURE):
        return Scale(module)
    if isinstance(module, ACTIVATIONS):
        return nn.Identity()
    for kind, twin in TWINS.items():
        if isinstance(module, kind):
            return twin(module)
    return module


def levelled(signal: Tensor) -> Tensor:
    """The signal over its mean, which counts as a constant; unchanged where it is all zero."""
    mean = signal.detach().mean()
    return signal / torch.where(mean == 0, 1.0, mean)


class Scale(nn.Module):
    """A normalisation that no longer looks at its input: ``|gamma| / deviation``, then the bias.

    The standard deviation is the running one, or one where there is none.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight = getattr(norm, "weight", None)
        self.bias = getattr(norm, "bias", None)
        variance = getattr(norm, "running_var", None)
        self._factor = None if variance is None else (variance + norm.eps).rsqrt()
        self._per_channel = isinstance(norm, PER_CHANNEL)

    def forward(self, signal: Tensor) -> Tensor:
        """Of the same shape."""
        for factor in (self._factor, self.weight):
            if factor is not None:
                signal = signal * self._spread(factor, signal)
        return levelled(signal if self.bias is None else signal + self._spread(self.bias, signal))

    def _spread(self, values: Tensor, signal: Tensor) -> Tensor:
        return values.view(-1, *[1] * (signal.ndim - 2)) if self._per_channel else values


class Stand(nn.Module):
    """Stands for a part of the network, which it makes use of."""

    part: Any

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part


class SummedExcitation(Stand):
    """Squeeze-and-excitation that adds the scale to the signal instead of multiplying."""

    def forward(self, signal: Tensor) -> Tensor:
        """Of the same shape."""
        scale: Tensor = self.part.fc2(self.part.fc1(self.part.avgpool(signal)))
        return signal + scale


class SummedAttention(Stand):
    """Attention whose tokens add their query to the mean key and the mean value of all."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, **_options: object
    ) -> tuple[Tensor, None]:
        """Of the shape of ``query``; no attention weights."""
        inner = self.part
        stacked: Tensor | None = inner.in_proj_weight  # none where keys have a size of their own
        apart = (inner.q_proj_weight, inner.k_proj_weight, inner.v_proj_weight)
        weights = apart if stacked is None else stacked.chunk(3)
        biases = (None,) * 3 if inner.in_proj_bias is None else inner.in_proj_bias.chunk(3)
        parts = map(levelled, map(F.linear, (query, key, value), weights, biases))
        return inner.out_proj(_mixed(*parts, dims=(-2 if inner.batch_first else 0,))), None


class SummedWindowAttention(Stand):
    """The same of Swin, over the whole image: an input of ones makes all windows alike.

    In its second version, the network that weighs positions adds what it says of them.
    """

    def forward(self, signal: Tensor) -> Tensor:
        """Of the same shape, (n, height, width, channels)."""
        inner = self.part
        mixed = _mixed(*inner.qkv(signal).chunk(3, dim=-1), dims=(1, 2))
        if hasattr(inner, "cpb_mlp"):
            heads = inner.cpb_mlp(inner.relative_coords_table.abs()).mean((0, 1, 2))
            mixed = mixed + heads.repeat_interleave(mixed.shape[-1] // len(heads))
        projected: Tensor = inner.proj(mixed)
        return projected


class SummedGridAttention(Stand):
    """The same of MaxViT, whose windows and grids are rows of tokens already."""

    def forward(self, signal: Tensor) -> Tensor:
        """Of the same shape, (n, groups, tokens, features)."""
        parts = self.part.to_qkv(signal).chunk(3, dim=-1)
        merged: Tensor = self.part.merge(_mixed(*parts, dims=(-2,)))
        return merged


class LevelledBlock(Stand):
    """ConvNeXt's block, whose layer scale shrinks its branch to nearly nothing at first."""

    def forward(self, signal: Tensor) -> Tensor:
        """Of the same shape."""
        return signal + levelled(self.part.layer_scale * self.part.block(signal))


def _mixed(query: Tensor, key: Tensor, value: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    return query + (key + value).mean(dims, keepdim=True)


TWINS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    SqueezeExcitation: SummedExcitation,
    nn.MultiheadAttention: SummedAttention,
    ShiftedWindowAttention: SummedWindowAttention,
    RelativePositionalMultiHeadAttention: SummedGridAttention,
    CNBlock: LevelledBlock,
}
