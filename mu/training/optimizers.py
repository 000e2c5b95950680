"""Optimisers by name, and their state by parameter name, so that it can be kept and put back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from mu.training.recipe import Training


def make_optimizer(model: nn.Module, training: Training) -> Optimizer:
    """The optimiser that ``training`` names; its momentum is Adam's first beta."""
    parameters = list(model.parameters())
    lr, decay, momentum = training.lr, training.weight_decay, training.momentum
    if training.optimizer == "sgd":
        return SGD(parameters, lr=lr, weight_decay=decay, momentum=momentum)
    kind: type[Adam] = {"adam": Adam, "adamw": AdamW}[training.optimizer]
    return kind(parameters, lr=lr, weight_decay=decay, betas=(momentum, 0.999))


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
