"""How much weights matter to a set of samples, and what is done by it."""

from __future__ import annotations

import torch
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.images import Subset
from mu.fisher.free import FreeWeights
from mu.fisher.mean import mean_gradient
from mu.runs import Run
from mu.training.held import Held


def mean_gradient_sizes(checkpoint: Checkpoint, data: Subset, run: Run) -> Tensor:
    """|gradient of the mean cross-entropy of ``data``|, in evaluation mode: (free weights,)."""
    free = FreeWeights(checkpoint.model, checkpoint.mask)
    return mean_gradient(checkpoint.model, free, data, run).abs()


def largest(checkpoint: Checkpoint, scores: Tensor, share: float) -> Held:
    """Hold all weights but the ``share`` of the free ones whose scores (free weights,) are largest.

    At least one moves. Of equal scores the first count.
    """
    order = scores.argsort(descending=True, stable=True)
    moves = torch.zeros_like(scores)
    moves[order[: max(1, round(share * len(scores)))]] = 1
    free = FreeWeights(checkpoint.model, checkpoint.mask)
    return Held(checkpoint.model, dict(free.tensors(moves)))
