"""Adaptive ascent on the weights that matter more to the forget set than to the retain set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.fisher.free import FreeWeights
from mu.methods.steps.importance import importance
from mu.methods.steps.weighting import weighted_mean
from mu.runs import Run
from mu.training.objective import Loss
from mu.training.turns import clipped

TINY = 1e-15  # added to importances and to powers of losses, which may be zero


def balanced(
    checkpoint: Checkpoint, split: ForgetSplit, run: Run, threshold: float, batch_size: int
) -> dict[str, Tensor]:
    """1 for weights of which the importances' ratio, forget to retain set, is at least so large.

    Of each parameter, by name and in its shape; 0 for pruned weights. The importance is the mean
    squared gradient of a batch.
    """
    forget, retain = (
        importance(checkpoint, one, run, "batch", batch_size) + TINY
        for one in (split.forget_set, split.retain_set)
    )
    free = FreeWeights(checkpoint.model, checkpoint.mask)
    return dict(free.tensors((forget / retain >= threshold).to(forget)))


def adaptive_ascent(scale: float, exponent: float, run: Run) -> Loss:
    """Minus ``scale`` times a mean of losses, each weighted by its own power ``-exponent``."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        values = F.cross_entropy(logits, labels, reduction="none")
        weights = 1 / (values.detach() ** exponent + TINY)
        return -scale * weighted_mean(values, weights, run)

    return loss


@torch.no_grad()
def mask_and_clip(model: nn.Module, factors: dict[str, Tensor], norm: float) -> None:
    """Multiply the gradients by factors, by name, and shorten all of them together to ``norm``."""
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    for name, gradient in found.items():
        gradient.mul_(factors[name].to(gradient))
    clipped([*found.values()], norm)
