"""The head of a classifier: the linear layer that gives its logits, and what goes into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.errors import UserError
from mu.runs import Run

BATCH_SIZE = 512


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


@torch.no_grad()
def features(model: nn.Module, subset: Subset, run: Run) -> Tensor:
    """What the head of ``model`` is given for each sample, in evaluation mode.

    float64 of shape (n_samples, n_features), on the CPU. A network without a linear head is
    refused.
    """
    head = head_of(model)
    if head is None:
        raise UserError("the network has no linear layer whose input could be its features")
    found: list[Tensor] = []

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0].flatten(1).float())

    was_training = model.training
    run.place(model, subset.images.shape).eval()
    handle = head[1].register_forward_pre_hook(look)
    try:
        for images, _ in Batches(subset, BATCH_SIZE, run.device).in_order():
            with run.autocast():
                model(images)
    finally:
        handle.remove()
        model.train(was_training)
    return torch.cat(found).cpu().double()
