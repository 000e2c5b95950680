"""l1-sparse: fine-tune on the retain set with an L1 penalty that decays. The paper's highlight.

The penalty ``gamma_t * ||w||_1`` pulls weights to zero, those that only the forget set holds up
first; what the retain set needs is learnt back once the penalty has decayed.

Its subgradient in the loss brings weights near zero, not to it. The proximal step, a soft
threshold after each step of the optimiser, pulls as far and makes them zero. With Adam it is the
only way, apart from the gradient as AdamW's decay is: Adam divides a gradient by its own size, and
would undo the weight of a penalty in it.

References
----------
Jia et al. (2023), Model Sparsity Can Simplify Machine Unlearning, section 4, equation 3 with
the linearly decreasing schedule of gamma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from mu.hyperparameters import searched, setting
from mu.methods.fine_tuning import FineTuning
from mu.pruning.base import emptied
from mu.training.recipe import Training
from mu.training.schedules import learning_rate_factor

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.runs import Run
    from mu.training.progress import Checkpointer

# Adam moves a weight by about the rate a step, however steep the loss: alpha is the pull in units
# of that, and from 1 on no gradient holds a weight. Short trainings would need more than that.
MOST_WITH_ADAM = 0.75
# How far the rule's penalty alone would pull every weight, in units of the weights' scale, if it
# held for as long as it may: to zero, even weights of twice the scale.
MOST_PULL = 2.0


class Strength(NamedTuple):
    """How strong the training is."""

    alpha: Callable[[int], float]  # the weight of the penalty in an epoch
    factor: Callable[[float], float] | None = None  # on the learning rate at a moment


@dataclass(frozen=True)
class L1Sparse(FineTuning):
    """Cross-entropy on the retain set, and an L1 penalty on the prunable, kept weights.

    With Adam alpha is a speed, in units of that at which a steady gradient moves a weight, however
    steep it is: from 1 on nothing holds a weight that the retain set needs.
    """

    name = "l1_sparse"
    aliases = ("l1-sparse", "FT_prune")
    scale: ClassVar[tuple[str, ...]] = ("alpha", "l1_strength")

    alpha: float | None = setting(
        None,
        help="weight of the L1 penalty in the first epoch; falls linearly to zero "
        "(default: set by l1_strength, or by the rule)",
        low=0,
    )
    l1_strength: float | None = searched(
        setting(
            None,
            help="without alpha: how far the penalty alone would pull every weight towards zero, "
            "in units of the weights' scale (default: the rule); 2 was the default before",
            low=0,
            formerly="shrink",
        ),
        0.2,
        20.0,
    )
    exact_zeros: bool = setting(
        False, help="whether weights become exactly zero and the mask is what is left at the end"
    )

    def identity(self) -> dict[str, Any]:
        """See :meth:`Method.identity`; beside alpha the strength is what it was by default."""
        found = super().identity()
        if self.alpha is not None and self.l1_strength is None:
            found["shrink"] = 2.0
        return found

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`; with ``exact_zeros`` the mask changes too."""
        from mu.methods.steps.best import train_by_rule
        from mu.training.optimizers import soft_threshold

        run.place(checkpoint.model)
        criterion = self.criterion(checkpoint.model, split, run)
        parameters = dict(checkpoint.model.named_parameters())
        # Pruned weights are zero and get no gradient, so the norm is that of the kept ones.
        weights = [parameters[name] for name in checkpoint.mask]
        training = self.training(checkpoint.spec.recipe.training)
        how = self._as_given if criterion is None else self._by_rule
        alpha, factor = how(checkpoint, training, run, len(split.retain))

        def penalty(epoch: int) -> Tensor:
            return alpha(epoch) * l1_norm(weights)

        def proximal_step(epoch: int, rate: float) -> None:
            soft_threshold(weights, rate * alpha(epoch) * repeats(training))

        def after_epoch(epoch: int, _optimizer: Optimizer) -> None:
            run.log("alpha", alpha(epoch), epoch)
            if self.exact_zeros:
                run.log("zeros", checkpoint.mask.nonzero(checkpoint.model).sparsity, epoch)

        proximal = self.exact_zeros or training.optimizer != "sgd"
        train_by_rule(
            criterion,
            checkpoint,
            split.retain_set,
            training,
            run,
            checkpointer,
            factor=factor,
            penalty=None if proximal else penalty,
            after_step=proximal_step if proximal else None,
            after_epoch=after_epoch,
            label="l1-sparse",
        )
        if used := run.history("alpha"):
            run.log("alpha", max(value for _, value in used), training.epochs)
        if self.exact_zeros:
            prune_zeros(checkpoint, run)

    def _as_given(
        self, checkpoint: Checkpoint, training: Training, run: Run, samples: int
    ) -> Strength:
        """As ``alpha`` or ``l1_strength`` says."""
        adam, first = training.optimizer != "sgd", self.alpha
        if first is None:
            first = (self.l1_strength or 0.0) * scale_of(checkpoint) / total_pull(training, samples)
            first = min(first, MOST_WITH_ADAM) if adam else first
        if adam and first >= 1:
            run.note(
                f"alpha={first:.3g}: with {training.optimizer} a penalty from 1 on outruns every "
                "gradient; give alpha below 1, or lower l1_strength"
            )
        return Strength(lambda epoch: first * decay(epoch, self.epochs))

    def _by_rule(
        self, checkpoint: Checkpoint, training: Training, run: Run, samples: int
    ) -> Strength:
        """The penalty holds until the forget set is forgotten; then it and the rate fall."""
        from mu.methods.steps.best import Ramp

        ramp = Ramp(training, run)
        first = MOST_PULL * scale_of(checkpoint) / (epoch_pull(training, samples) * ramp.longest)
        most = math.inf if training.optimizer == "sgd" else MOST_WITH_ADAM
        return Strength(
            lambda epoch: min(first * ramp.level(epoch), most),
            lambda moment: ramp.fall(int(moment)),
        )


def decay(epoch: int, epochs: int) -> float:
    """The share of alpha that is in force in an epoch, counted from 0: from 1 linearly to 0."""
    return 1 - epoch / epochs


def scale_of(checkpoint: Checkpoint) -> float:
    """The scale of a network's weights: what :attr:`L1Sparse.l1_strength` counts in.

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

    A step moves a weight by ``lr * alpha``, as often as the optimiser :func:`repeats` it.
    """
    rates = (
        learning_rate_factor(training.schedule, epoch + 0.5, training.epochs)
        * decay(epoch, training.epochs)
        for epoch in range(training.epochs)
    )
    return epoch_pull(training, samples) * sum(rates)


def epoch_pull(training: Training, samples: int) -> float:
    """How far a penalty of alpha = 1 would move a weight in an epoch at the full learning rate."""
    from mu.data.batches import batch_count

    return training.lr * batch_count(samples, training.batch_size) * repeats(training)


def repeats(training: Training) -> float:
    """How often a constant pull of one step acts in all: momentum repeats it, but not Adam's.

    Adam's momentum is a mean of gradients, and the proximal step beside it has none.
    """
    return 1 / (1 - training.momentum) if training.optimizer == "sgd" else 1.0


def prune_zeros(checkpoint: Checkpoint, run: Run) -> None:
    """Make the mask what is left of the weights; layers of which nothing is are told."""
    before, after = checkpoint.mask, checkpoint.mask.nonzero(checkpoint.model)
    after.apply(checkpoint.model)  # -0.0 is zero too
    checkpoint.mask = after
    if names := emptied(before, after, checkpoint.spec.recipe.make_pruner().scope):
        run.note(
            f"l1_sparse to {after.sparsity:.2f} % leaves no weight in {names}; a lower alpha or "
            "l1_strength would keep some"
        )


def l1_norm(weights: Sequence[Tensor]) -> Tensor:
    """Sum of absolute values over all ``weights``, a scalar."""
    import torch

    return torch.stack([weight.abs().sum() for weight in weights]).sum()
