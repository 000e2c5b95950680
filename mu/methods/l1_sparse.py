"""l1-sparse: fine-tune on the retain set with an L1 penalty that decays. The paper's highlight.

The penalty ``gamma_t * ||w||_1`` pulls weights to zero, those that only the forget set holds up
first; what the retain set needs is learnt back once the penalty has decayed.

References
----------
Jia et al. (2023), Model Sparsity Can Simplify Machine Unlearning, section 4, equation 3 with
the linearly decreasing schedule of gamma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.forget import ForgetSplit
from mu.hyperparameters import setting
from mu.methods.fine_tuning import FineTuning
from mu.runs import Run
from mu.training.loop import train
from mu.training.recipe import Training
from mu.training.schedules import learning_rate_factor


@dataclass(frozen=True)
class L1Sparse(FineTuning):
    """Cross-entropy on the retain set, and an L1 penalty on the prunable, kept weights."""

    alpha: float | None = setting(
        None,
        help="weight of the L1 penalty in the first epoch; falls linearly to zero "
        "(default: by the rule of shrink)",
        low=0,
    )
    shrink: float = setting(
        2.0,
        help="without alpha: how far the penalty alone would pull every weight towards zero, "
        "in units of the weights' scale",
        low=0,
    )

    def unlearn(self, checkpoint: Checkpoint, split: ForgetSplit, run: Run) -> None:
        """See :meth:`Method.unlearn`."""
        run.place(checkpoint.model)
        parameters = dict(checkpoint.model.named_parameters())
        # Pruned weights are zero and get no gradient, so the norm is that of the kept ones.
        weights = [parameters[name] for name in checkpoint.mask]
        training = self.training(checkpoint.spec.recipe.training)
        alpha = self.alpha
        if alpha is None:
            alpha = self.shrink * scale_of(checkpoint) / total_pull(training, len(split.retain))
        run.log("alpha", alpha)

        def penalty(epoch: int) -> Tensor:
            return alpha * decay(epoch, self.epochs) * l1_norm(weights)

        train(
            checkpoint.model,
            split.retain_set,
            training,
            run,
            mask=checkpoint.mask,
            penalty=penalty,
            label="l1-sparse",
        )


def decay(epoch: int, epochs: int) -> float:
    """The share of alpha that is in force in an epoch, counted from 0: from 1 linearly to 0."""
    return 1 - epoch / epochs


def scale_of(checkpoint: Checkpoint) -> float:
    """The scale of a network's weights: what :attr:`L1Sparse.shrink` counts in.

    The geometric mean of two mean magnitudes: of the prunable weights as the architecture draws
    them, and of the kept ones as they are now. For a dense original the two are nearly the same.
    A sparse one keeps the large weights, three times as large at 95 %; measured, it needs more
    pull than a dense one to forget, but not three times as much (docs/results.md).
    """
    recipe = checkpoint.spec.recipe
    initial = dict(recipe.model.build(recipe.seed).named_parameters())
    current = dict(checkpoint.model.named_parameters())
    drawn = l1_norm([initial[name] for name in checkpoint.mask]) / max(checkpoint.mask.total, 1)
    kept = l1_norm([current[name] for name in checkpoint.mask]) / max(checkpoint.mask.kept, 1)
    return float((drawn.detach() * kept.detach().to(drawn.device)).sqrt())


def total_pull(training: Training, samples: int) -> float:
    """How far a penalty of alpha = 1 would move a weight towards zero, were it alone.

    A step moves a weight by ``lr * alpha``, which momentum repeats ``1 / (1 - momentum)`` times.
    """
    steps = math.ceil(samples / training.batch_size)
    rates = (
        learning_rate_factor(training.schedule, epoch + 0.5, training.epochs)
        * decay(epoch, training.epochs)
        for epoch in range(training.epochs)
    )
    return training.lr * steps * sum(rates) / (1 - training.momentum)


def l1_norm(weights: Sequence[Tensor]) -> Tensor:
    """Sum of absolute values over all ``weights``, a scalar."""
    return torch.stack([weight.abs().sum() for weight in weights]).sum()
