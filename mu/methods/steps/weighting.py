"""Means over the samples of a batch that do not all count the same."""

from __future__ import annotations

import torch
from torch import Tensor

from mu.runs import Run


def weighted_mean(values: Tensor, weights: Tensor, run: Run) -> Tensor:
    """The sum of weights times values over that of weights, of a batch that ranks share.

    As the training loop wants a loss: what is a mean over this rank's samples, so that the mean of
    all ranks is that of the batch. ``values``, ``weights``: of this rank's samples, (n,); weights
    have no gradient.
    """
    sums = torch.stack([weights.sum(), torch.ones_like(weights).sum()])
    total, count = run.ranks.add_up(sums).unbind()
    return (weights * values).mean().mul(count / total)
