"""One epoch of gradient ascent: see :mod:`mu.methods.ga`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.methods.steps.criterion import StopCriterion
from mu.runs import Run
from mu.training.loop import DivergedError, train
from mu.training.optimizers import NormalizedSGD, make_optimizer
from mu.training.recipe import Training


def climb(
    checkpoint: Checkpoint,
    split: ForgetSplit,
    training: Training,
    run: Run,
    epoch: int,
    criterion: StopCriterion | None,
) -> str:
    """Climb the loss of the forget set for an epoch; edits the network in place.

    Parameters
    ----------
    criterion
        What the retain set can bear. None is plain ascent: then the learning rate is not the
        length of a step.

    Returns
    -------
    str
        What is wrong with the result, empty if nothing is.
    """
    try:
        train(
            checkpoint.model,
            split.forget_set,
            training,
            run,
            mask=checkpoint.mask,
            loss=ascent,
            start_epoch=epoch,
            stop_epoch=epoch + 1,
            frozen=True,
            make=make_optimizer if criterion is None else normalized,
            label="gradient ascent",
        )
    except DivergedError as error:
        return str(error)
    if not all(bool(torch.isfinite(one).all()) for one in checkpoint.model.parameters()):
        return "weights were no longer finite; lower lr"
    if criterion is not None and not criterion.holds(checkpoint.model):
        drop = criterion.max_accuracy_drop
        return f"the retain set lost more than {drop:g} points (max_accuracy_drop)"
    return ""


def ascent(logits: Tensor, labels: Tensor) -> Tensor:
    """What is minimised: the cross-entropy, its sign turned."""
    return -F.cross_entropy(logits, labels)


def normalized(model: nn.Module, training: Training) -> Optimizer:
    """Steps whose length is the learning rate, relative to the weights'."""
    return NormalizedSGD(model, training.lr)
