"""The one training loop. Everything that trains in mu is a call of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.errors import UserError
from mu.masks import Mask
from mu.runs import Run, generator
from mu.training.recipe import Training
from mu.training.schedules import learning_rate_factor

Loss = Callable[[Tensor, Tensor], Tensor]
Penalty = Callable[[int], Tensor]


class DivergedError(UserError):
    """The loss is no longer a number."""


def train(
    model: nn.Module,
    data: Subset,
    training: Training,
    run: Run,
    *,
    mask: Mask | None = None,
    loss: Loss = F.cross_entropy,
    penalty: Penalty | None = None,
    start_epoch: int = 0,
    stop_epoch: int | None = None,
    first_step: int = 0,
    seed: int | None = None,
    label: str = "training",
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train ``model`` in place by stochastic gradient descent.

    Parameters
    ----------
    data
        What to train on.
    mask
        Its pruned weights are set to zero at the start, get no gradient, and are zero after
        every step.
    loss
        Of logits (n, classes) and labels (n,); a scalar.
    penalty
        Of the epoch; a scalar that is added to the loss.
    start_epoch, stop_epoch
        Part of the schedule to run, ``start_epoch <= epoch < stop_epoch``; by default all.
        The order of samples of an epoch depends on the seed and the epoch alone.
    first_step
        Added to the epoch to give the step of logged numbers.
    seed
        Of the order and augmentation of samples; by default the run's.
    after_epoch
        Called with the epoch just finished.

    Raises
    ------
    DivergedError
        If the loss of an epoch is not finite.
    """
    run.place(model)
    batches = Batches(data, training.batch_size, run.device, augment=training.augment)
    bound = None if mask is None or mask.is_dense else mask.bind(model)
    if bound is not None:
        bound.apply()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=training.lr,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
    )
    stop = training.epochs if stop_epoch is None else stop_epoch
    with run.progress(label, (stop - start_epoch) * batches.samples) as advance:
        for epoch in range(start_epoch, stop):
            model.train()
            totals = torch.zeros(2, device=run.device)
            order = generator(run.seed if seed is None else seed, f"order of epoch {epoch}")
            for number, (images, labels) in enumerate(batches.shuffled(order)):
                moment = epoch + number / len(batches)
                factor = learning_rate_factor(
                    training.schedule, moment, training.epochs, training.warmup
                )
                for group in optimizer.param_groups:
                    group["lr"] = training.lr * factor
                with run.autocast():
                    logits = model(images)
                    value = loss(logits, labels)
                objective = value if penalty is None else value + penalty(epoch)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(objective)
                if bound is not None:
                    bound.mask_gradients()
                optimizer.step()
                if bound is not None:
                    bound.apply()
                with torch.no_grad():
                    right = (logits.argmax(1) == labels).sum()
                    totals += torch.stack([value.detach().float() * len(labels), right.float()])
                advance(len(labels), f"epoch {epoch + 1}/{stop}")
            run.samples_seen += batches.samples
            _log_epoch(run, totals, batches.samples, epoch, first_step)
            if after_epoch is not None:
                after_epoch(epoch)


def _log_epoch(run: Run, totals: Tensor, samples: int, epoch: int, first_step: int) -> None:
    """Log mean loss and accuracy of an epoch: the only time that the host waits for the device."""
    loss, right = (totals / samples).tolist()
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise DivergedError(
            f"the loss became {loss} in epoch {epoch + 1}; lower lr (or the penalty)"
        )
    run.log_all({"loss": loss, "train_acc": 100 * right}, first_step + epoch)
