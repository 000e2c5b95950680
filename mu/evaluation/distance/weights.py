"""How far the weights of two models are apart.

References
----------
Wu, Dobriban & Davidson (2020), DeltaGrad: Rapid Retraining of Machine Learning Models, ICML, judge
by the distance to the retrained model; Tarun et al. (2021), Fast yet Effective Machine Unlearning,
arXiv:2111.08947, look at it layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Weights = nn.Module | Mapping[str, Tensor]

# What layers of normalisation keep beside their parameters; a state dict does not tell them apart.
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def weight_distance(ours: Weights, oracle: Weights) -> float:
    """L2 distance of all parameters, relative to the L2 norm of the oracle's.

    What it cannot tell: whether a model has forgotten. Two oracles that differ in their seed
    alone are far apart, up to about sqrt(2), since networks that compute the same may have their
    units in any order; so a large distance is no fault. A small one is no merit either where
    both start from the same weights: the original itself may be as near. It says something
    beside the distance between two oracles, and that between original and oracle.

    Parameters
    ----------
    ours, oracle
        Models, or their state dicts. Buffers do not count.

    Returns
    -------
    float
        0 for equal weights; without an upper end.

    Raises
    ------
    ValueError
        If the architectures differ, or all the oracle's parameters are zero.
    """
    one, other = _parameters(ours), _parameters(oracle)
    _check_same_architecture(one, other)
    length = _norm(list(other.values()))
    if length == 0:
        raise ValueError("all parameters of the oracle are zero: nothing is relative to that")
    return _norm([one[name] - other[name] for name in other]) / length


def _parameters(weights: Weights) -> dict[str, Tensor]:
    """The parameters by name, float64 on the CPU."""
    if isinstance(weights, nn.Module):
        chosen: dict[str, Tensor] = dict(weights.named_parameters())
    else:
        chosen = {name: one for name, one in weights.items() if not _is_buffer(name, one)}
    return {name: one.detach().cpu().double() for name, one in chosen.items()}


def _is_buffer(name: str, value: Tensor) -> bool:
    return name.rpartition(".")[2] in BUFFERS or not value.is_floating_point()


def _check_same_architecture(ours: Mapping[str, Tensor], oracle: Mapping[str, Tensor]) -> None:
    if lone := sorted(ours.keys() ^ oracle.keys()):
        raise ValueError(
            f"the two models are of different architectures: {len(lone)} parameters are in one "
            f"alone, first {lone[0]}"
        )
    for name in oracle:
        if ours[name].shape != oracle[name].shape:
            raise ValueError(
                f"the two models are of different architectures: {name} is of shape "
                f"{tuple(ours[name].shape)} in one and {tuple(oracle[name].shape)} in the other"
            )


def _norm(tensors: list[Tensor]) -> float:
    """L2 norm of all values together."""
    each = [torch.linalg.vector_norm(one) for one in tensors]
    return float(torch.linalg.vector_norm(torch.stack(each))) if each else 0.0
