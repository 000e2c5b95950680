"""Optimisers by name, and their state by parameter name, so that it can be kept and put back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from mu.training.recipe import Training

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def make_optimizer(model: nn.Module, training: Training) -> Optimizer:
    """The optimiser that ``training`` names; its momentum is Adam's first beta.

    The ``share`` of each of its groups of parameters is what their learning rate is to be in units
    of that of all.
    """
    groups = _groups(model, training)
    lr, decay, momentum = training.lr, training.weight_decay, training.momentum
    if training.optimizer == "sgd":
        nesterov = training.nesterov
        return SGD(groups, lr=lr, weight_decay=decay, momentum=momentum, nesterov=nesterov)
    kind: type[Adam] = {"adam": Adam, "adamw": AdamW}[training.optimizer]
    return kind(groups, lr=lr, weight_decay=decay, betas=(momentum, 0.999))


def _groups(model: nn.Module, training: Training) -> list[dict[str, Any]]:
    """Parameters by their learning rates, each group with its share and its decay.

    Optimisers take lr times the decay from a weight in a step. Decoupled, that is to be the given
    decay at the peak rate, in each group.
    """
    quick = {
        id(module.bias)
        for module in model.modules()
        if isinstance(module, NORMALISATIONS) and training.norm_bias_rate != 1
    }
    shares = {1.0: [one for one in model.parameters() if id(one) not in quick]}
    if quick:
        shares[training.norm_bias_rate] = [one for one in model.parameters() if id(one) in quick]
    found = []
    for share, parameters in shares.items():
        decay = training.weight_decay
        if training.decoupled_decay:
            decay = decay / (training.lr * share) if share else 0.0
        found.append({"params": parameters, "share": share, "weight_decay": decay})
    return found


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give each group of parameters its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)


class NormalizedSGD(Optimizer):
    """Steps of a given length along the gradient, whatever the gradient's own length is.

    ``lr`` is the length of a step relative to that of all weights together. Near a minimum, where
    gradients vanish, plain steps go nowhere, and once they have left it they grow without bound;
    these do neither.

    References
    ----------
    Hazan, Levy & Shalev-Shwartz (2015), Beyond Convexity: Stochastic Quasi-Convex Optimization,
    NeurIPS.
    """

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__(model.parameters(), {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Take a step. Where the gradient is zero there is nowhere to go."""
        for group in self.param_groups:
            moved = [one for one in group["params"] if one.grad is not None]
            gradients = [one.grad for one in moved]
            # The largest is taken out first: squares of small gradients would all be zero.
            largest = torch.stack(torch._foreach_norm(gradients, math.inf)).max()
            smallest = torch.finfo(largest.dtype).tiny
            units = torch._foreach_div(gradients, largest.clamp(min=smallest))
            length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(units)))
            weights = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(moved)))
            scale = torch.where(length > 0, -group["lr"] * weights / length, 0.0)
            torch._foreach_add_(moved, torch._foreach_mul(units, scale))


@torch.no_grad()
def soft_threshold(weights: Sequence[Tensor], threshold: float) -> None:
    """Pull all ``weights`` towards zero by ``threshold``, in place, and no further than zero.

    w becomes sign(w) max(|w| - threshold, 0): the proximal step of the L1 norm (Daubechies, Defrise
    & De Mol 2004, An iterative thresholding algorithm for linear inverse problems with a sparsity
    constraint, Communications on Pure and Applied Mathematics 57). The host does not wait for the
    device.
    """
    # What is within the threshold equals its clamped self, and x - x is 0.0, never -0.0.
    near = torch._foreach_clamp_min(torch._foreach_clamp_max(list(weights), threshold), -threshold)
    torch._foreach_sub_(list(weights), near)


def optimizer_state(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimiser's tensors as ``parameter/key``; not copied."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_state` gave, each tensor laid out like its parameter."""
    parameters = dict(model.named_parameters())
    for full_name, value in state.items():
        name, _, key = full_name.rpartition("/")
        parameter = parameters[name]
        # A copy in any case: optimisers count their steps in the tensor itself.
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        else:
            value = value.clone()
        optimizer.state[parameter][key] = value
