"""The head of a network as the depth of forgetting needs it: a row of weights for each class."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.errors import UserError
from mu.models.head import Head, NoHeadError, find_head, own_head


def rows_of(checkpoint: Checkpoint) -> Head | None:
    """The layer whose rows are the classes'; None where the network has none."""
    try:
        return find_head(checkpoint.model, checkpoint.spec.recipe.model.example())
    except NoHeadError:
        return None


@torch.no_grad()
def with_rows_anew(checkpoint: Checkpoint, classes: Sequence[int]) -> Checkpoint | None:
    """A copy whose rows for these classes start anew: no weights, and the others' mean bias.

    None where there is no head of its own, or no class.
    """
    found = copy.copy(checkpoint)
    found.model = copy.deepcopy(checkpoint.model)
    rows = list(classes)
    try:
        head = own_head(found.model, checkpoint.spec.recipe.model.example()).module
    except UserError:
        return None
    if not rows:
        return None
    head.weight[rows] = 0.0
    bias: Tensor | None = head.bias
    if bias is not None:
        others = [row for row in range(len(bias)) if row not in rows]
        bias[rows] = bias[others].mean()
    return found
