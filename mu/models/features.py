"""The features of a network: what goes into its head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.errors import UserError
from mu.models.head import head_of
from mu.runs import Run

BATCH_SIZE = 512


@torch.no_grad()
def features(model: nn.Module, subset: Subset, run: Run) -> Tensor:
    """What the head of ``model`` is given for each sample, in evaluation mode.

    Returns
    -------
    Tensor
        float64 of shape (n_samples, n_features), on the CPU.

    Raises
    ------
    UserError
        If the network has no linear head.
    """
    head = head_of(model)
    if head is None:
        raise UserError("the network has no linear layer whose input could be its features")
    found: list[Tensor] = []

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0].flatten(1).float())

    was_training = model.training
    run.place(model).eval()
    handle = head[1].register_forward_pre_hook(look)
    try:
        for images, _ in Batches(subset, BATCH_SIZE, run.device).in_order():
            with run.autocast():
                model(images)
    finally:
        handle.remove()
        model.train(was_training)
    return torch.cat(found).cpu().double()
