"""The head of a network as the depth of forgetting needs it: a row of weights for each class."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from mu.checkpoints import Checkpoint
from mu.models.head import head_of


def rows_of(checkpoint: Checkpoint) -> nn.Linear | None:
    """The layer whose rows are the classes'; None where the network has none."""
    head = head_of(checkpoint.model)
    return None if head is None else head[1]


@torch.no_grad()
def with_rows_anew(checkpoint: Checkpoint, classes: Sequence[int]) -> Checkpoint | None:
    """A copy whose rows for these classes start anew: no weights, and the others' mean bias.

    None where there is no head, or no class.
    """
    found = copy.copy(checkpoint)
    found.model = copy.deepcopy(checkpoint.model)
    head, rows = rows_of(found), list(classes)
    if head is None or not rows:
        return None
    head.weight[rows] = 0.0
    if head.bias is not None:
        others = [row for row in range(len(head.bias)) if row not in rows]
        head.bias[rows] = head.bias[others].mean()
    return found
