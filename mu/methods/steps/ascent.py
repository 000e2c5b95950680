"""One epoch of gradient ascent: see :mod:`mu.methods.ga`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.methods.steps.criterion import OVERSHOOT, StopCriterion
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
) -> tuple[str, float]:
    """Climb the loss of the forget set for an epoch; edits the network in place.

    ``criterion``: how far to go. None is plain ascent: then the learning rate is not the length of
    a step. Gives what is wrong with the result, empty if nothing is; and how much surer than wanted
    the network is of the forget set, inf where there is no criterion.
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
        return str(error), math.inf
    if not all(bool(torch.isfinite(one).all()) for one in checkpoint.model.parameters()):
        return "weights were no longer finite; lower lr", math.inf
    if criterion is None:
        return "", math.inf
    excess = criterion.excess(checkpoint.model)
    if excess < -OVERSHOOT:
        return "it forgot more than was wanted", excess
    if criterion.drop(checkpoint.model) > criterion.max_accuracy_drop:
        return "the retain set lost more than it may (max_accuracy_drop)", excess
    return "", excess


def ascent(logits: Tensor, labels: Tensor) -> Tensor:
    """What is minimised: the cross-entropy, its sign turned."""
    return -F.cross_entropy(logits, labels)


def normalized(model: nn.Module, training: Training) -> Optimizer:
    """Steps whose length is the learning rate, relative to the weights'."""
    return NormalizedSGD(model, training.lr)
