"""How much weights matter to a set of samples, and what is done by it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.batches import Batches
from mu.data.images import Subset
from mu.fisher.diagonal import diagonal
from mu.fisher.free import FreeWeights
from mu.fisher.mean import mean_gradient
from mu.fisher.per_sample import evaluating
from mu.runs import Run
from mu.training.held import Held


def mean_gradient_sizes(checkpoint: Checkpoint, data: Subset, run: Run) -> Tensor:
    """|gradient of the mean cross-entropy of ``data``|, in evaluation mode: (free weights,)."""
    free = FreeWeights(checkpoint.model, checkpoint.mask)
    return mean_gradient(checkpoint.model, free, data, run).abs()


def importance(
    checkpoint: Checkpoint, data: Subset, run: Run, kind: str, batch_size: int
) -> Tensor:
    """How much each weight matters to ``data``: (free weights,).

    Parameters
    ----------
    kind
        ``sample``: the mean over samples of the squared gradient of the log-likelihood, expected
        over the network's own predictions. ``batch``: the mean over batches of the squared
        gradient of a batch's mean cross-entropy. ``outputs``: the mean over batches of the size of
        the gradient of the logits' mean squared length. All of them in evaluation mode.
    """
    model, free = checkpoint.model, FreeWeights(checkpoint.model, checkpoint.mask)
    if kind == "sample":
        return free.vector(diagonal(model, data, run, labels="signs"))
    parameters = list(model.parameters())
    batches = Batches(data, batch_size, run.device)
    total = parameters[0].new_zeros(free.size)
    with evaluating(model):
        model.requires_grad_(True)
        for images, labels in batches.in_order():
            logits = model(images.to(parameters[0].dtype))
            of_labels = F.cross_entropy(logits, labels)
            loss = of_labels if kind == "batch" else logits.square().sum(1).mean()
            found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
            vector = free.vector(found)
            total += vector.square() if kind == "batch" else vector.abs()
    run.samples_seen += len(data)
    return total / len(batches)


def largest(checkpoint: Checkpoint, scores: Tensor, share: float) -> Held:
    """Hold all weights but the ``share`` of the free ones whose scores (free weights,) are largest.

    At least one moves. Of equal scores the first count.
    """
    order = scores.argsort(descending=True, stable=True)
    moves = torch.zeros_like(scores)
    moves[order[: max(1, round(share * len(scores)))]] = 1
    free = FreeWeights(checkpoint.model, checkpoint.mask)
    return Held(checkpoint.model, dict(free.tensors(moves)))


def ratios(forget: Tensor, every: Tensor) -> Tensor:
    """F / I by weight; 0 where F is zero, and infinite where I alone is."""
    found = forget / every
    return found.masked_fill(forget == 0, 0.0)


def left(ratio: Tensor, alpha: float, dampening: float) -> Tensor:
    """What weights are multiplied by: min(lambda I / F, 1) where F > alpha I, else 1."""
    kept = (dampening / ratio).clamp(max=1.0)
    return kept.where(ratio > alpha, kept.new_ones(()))
