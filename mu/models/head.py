"""The head of a classifier: the linear layer that gives its logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def head_of(model: nn.Module) -> tuple[str, nn.Linear] | None:
    """Name and module of the linear layer that is defined last, or None where there is none."""
    layers = [(name, one) for name, one in model.named_modules() if isinstance(one, nn.Linear)]
    return layers[-1] if layers else None


@torch.no_grad()
def reset_outputs(model: nn.Module, classes: Sequence[int]) -> list[Tensor] | None:
    """Set weights and biases of these classes in the head to zero: their logits become 0.

    Returns
    -------
    list of Tensor or None
        For each parameter of the network, in their order, zeros where it was reset and ones
        elsewhere; None where there is no head with such outputs.
    """
    head = head_of(model)
    if head is None or head[1].out_features <= max(classes):
        return None
    own, rows, marks = {*map(id, head[1].parameters())}, list(classes), []
    for parameter in model.parameters():
        marks.append(torch.ones_like(parameter))
        if id(parameter) in own:
            parameter[rows] = marks[-1][rows] = 0.0
    return marks
