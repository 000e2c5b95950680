"""Which channels of which values are the same number everywhere, whatever the images are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from mu.compact.kinds import Kind

UNKNOWN = float("nan")  # of a channel that is not constant


def constants(network: fx.GraphModule, found: dict[fx.Node, Kind]) -> dict[fx.Node, Tensor]:
    """Of every node with channels, float64 (width,): the constant of each, else NaN."""
    known: dict[fx.Node, Tensor] = {}
    for node, kind in found.items():
        if kind.width:
            given = [known[one] for one in kind.inputs if one in known]
            known[node] = _RULES[kind.name](node, kind, given)
    return known


def pads(convolution: nn.Conv2d) -> bool:
    """Whether borders see zeros in the place of a constant."""
    if convolution.padding_mode != "zeros" or convolution.padding == "valid":
        return False
    if convolution.padding == "same":
        return any(side > 1 for side in convolution.kernel_size)
    return any(convolution.padding)


def foldable(kind: Kind, given: Tensor) -> Tensor:
    """Which inputs of a convolution or linear layer are constants that a bias can stand for."""
    is_known = ~given.isnan()
    is_padded = kind.name in ("conv", "depthwise") and pads(kind.module)
    return is_known & (given == 0) if is_padded else is_known


def rows(layer: Any) -> Tensor:
    """Weights of a layer as float64 (outputs, inputs, positions)."""
    weight: Tensor = layer.weight.detach().double()
    return weight.reshape(*weight.shape[:2], -1)


def folded(kind: Kind, given: Tensor) -> Tensor:
    """What the constants that can be folded add to each output, and the bias: float64."""
    fixed = torch.where(foldable(kind, given), given, 0.0)
    sums = rows(kind.module).sum(2)
    added = sums[:, 0] * fixed if kind.name == "depthwise" else sums @ fixed
    bias = kind.module.bias
    return added if bias is None else added + bias.detach().double()


def _layer(node: fx.Node, kind: Kind, given: list[Tensor]) -> Tensor:
    weights = rows(kind.module)
    taken = given[0] if given else torch.full(weights.shape[1:2], UNKNOWN, dtype=torch.float64)
    live = ~foldable(kind, taken)
    read = (weights != 0).any(2)
    reads = read[:, 0] & live if kind.name == "depthwise" else (read & live).any(1)
    return torch.where(reads, UNKNOWN, folded(kind, taken))


def scale_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    """What a normalisation by running statistics does to a channel: float64."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _norm(node: fx.Node, kind: Kind, given: list[Tensor]) -> Tensor:
    scale, shift = scale_and_shift(kind.module)
    return torch.where(scale == 0, shift, given[0] * scale + shift)


@torch.no_grad()
def _activation(node: fx.Node, kind: Kind, given: list[Tensor]) -> Tensor:
    arguments = [given[0].clone() if isinstance(one, fx.Node) else one for one in node.args]
    result: Tensor
    if kind.module is not None:
        result = kind.module(*arguments)
    elif node.op == "call_method":
        result = getattr(arguments[0], str(node.target))(*arguments[1:], **node.kwargs)
    else:
        assert callable(node.target)
        result = node.target(*arguments, **node.kwargs)
    # A clamp makes a number of what is none.
    return torch.where(given[0].isnan(), UNKNOWN, result)


def _pool(node: fx.Node, kind: Kind, given: list[Tensor]) -> Tensor:
    """A mean over windows that may reach over the border."""
    pool = kind.module
    padding = pool.padding if isinstance(pool.padding, tuple) else (pool.padding,)
    is_even = not any(padding) and not pool.ceil_mode and pool.divisor_override is None
    return given[0] if is_even else torch.where(given[0] == 0, 0.0, UNKNOWN)


def _product(node: fx.Node, kind: Kind, given: list[Tensor]) -> Tensor:
    is_zero = (given[0] == 0) | (given[1] == 0)
    return torch.where(is_zero, 0.0, given[0] * given[1])


def _flatten(node: fx.Node, kind: Kind, given: list[Tensor]) -> Tensor:
    return given[0].repeat_interleave(kind.width // len(given[0]))


_RULES: dict[str, Any] = {
    **dict.fromkeys(("conv", "depthwise", "linear"), _layer),
    "norm": _norm,
    "activation": _activation,
    "pool": _pool,
    "even_pool": lambda node, kind, given: given[0],
    "sum": lambda node, kind, given: given[0] + given[1],
    "product": _product,
    "flatten": _flatten,
    "cat": lambda node, kind, given: torch.cat(given),
}
