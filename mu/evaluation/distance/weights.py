"""How far the weights of two models are apart.

References
----------
Wu, Dobriban & Davidson (2020), DeltaGrad: Rapid Retraining of Machine Learning Models, ICML, judge
by the distance to the retrained model; Tarun et al. (2021), Fast yet Effective Machine Unlearning,
arXiv:2111.08947, look at it layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def weight_distance(ours: nn.Module, oracle: nn.Module) -> float:
    """L2 distance of all parameters, relative to the L2 norm of the oracle's; buffers do not count.

    What it cannot tell: whether a model has forgotten. Two oracles that differ in their seed
    alone are far apart, up to about sqrt(2), since networks that compute the same may have their
    units in any order; so a large distance is no fault. A small one is no merit either where
    both start from the same weights: the original itself may be as near. It says something
    beside the distance between two oracles, and that between original and oracle. ValueError if the
    architectures differ, or all the oracle's parameters are zero. Gives 0 for equal weights;
    without an upper end.
    """
    pairs = _pairs(ours, oracle)
    difference, length = (_norm(values) for values in zip(*pairs.values(), strict=True))
    if length == 0:
        raise ValueError("all parameters of the oracle are zero: nothing is relative to that")
    return difference / length


def layer_distances(ours: nn.Module, other: nn.Module) -> dict[str, float]:
    """:func:`weight_distance` of each module by itself, by name, in the order of the network.

    All parameters of a module are taken together. NaN where all of the other model's are zero, and
    ours are not. ValueError if the architectures differ.
    """
    layers: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, pair in _pairs(ours, other).items():
        layers.setdefault(name.rpartition(".")[0], []).append(pair)
    found = {}
    for name, pairs in layers.items():
        difference, length = (_norm(values) for values in zip(*pairs, strict=True))
        found[name] = 0.0 if difference == 0 else difference / length if length else math.nan
    return found


def _pairs(ours: nn.Module, other: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each parameter what is different, and the other model's, by name."""
    one, two = (
        {name: value.detach().cpu().double() for name, value in model.named_parameters()}
        for model in (ours, other)
    )
    if {n: v.shape for n, v in one.items()} != {n: v.shape for n, v in two.items()}:
        raise ValueError("the two models are of different architectures")
    return {name: (one[name] - value, value) for name, value in two.items()}


def _norm(values: Iterable[Tensor]) -> float:
    norms = [torch.linalg.vector_norm(value) for value in values]
    return float(torch.linalg.vector_norm(torch.stack(norms)))
