"""How far the weights of two models are apart.

References
----------
Wu, Dobriban & Davidson (2020), DeltaGrad: Rapid Retraining of Machine Learning Models, ICML, judge
by the distance to the retrained model; Tarun et al. (2021), Fast yet Effective Machine Unlearning,
arXiv:2111.08947, look at it layer by layer.
"""

from __future__ import annotations

import torch
from torch import nn


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
    one, other = (
        {name: value.detach().cpu().double() for name, value in model.named_parameters()}
        for model in (ours, oracle)
    )
    if {n: v.shape for n, v in one.items()} != {n: v.shape for n, v in other.items()}:
        raise ValueError("the two models are of different architectures")
    difference, length = (
        torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
        for values in ([one[name] - other[name] for name in other], other.values())
    )
    if length == 0:
        raise ValueError("all parameters of the oracle are zero: nothing is relative to that")
    return float(difference) / float(length)
