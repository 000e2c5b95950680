"""The one training loop. Everything that trains in mu is a call of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from mu.data.batches import Batches, Share
from mu.data.images import Subset
from mu.errors import UserError
from mu.live_channels import live_channels
from mu.masks import BoundMask, Mask
from mu.runs import Run, generator, seeded
from mu.training.cycled import Cycled, mirrored_in
from mu.training.held import Held, Hold, all_holds, at_rest
from mu.training.objective import (
    Loss,
    Objective,
    Penalty,
    Second,
    Term,
    averaged,
    share_statistics,
)
from mu.training.optimizers import make_optimizer, restore_optimizer, set_rate
from mu.training.recipe import Training
from mu.training.sam import ascended
from mu.training.schedules import learning_rate_factor
from mu.training.slow import Lookahead
from mu.training.turns import Edit, Turning, Turns

MakeOptimizer = Callable[[nn.Module, Training], Optimizer]
Factor = Callable[[float], float]
AfterStep = Callable[[int, float], None]
AfterEpoch = Callable[[int, Optimizer], None]


class DivergedError(UserError):
    """The loss is no longer a number."""


class Beside(NamedTuple):
    """A second set, gone through again and again: each step sees a batch of it, or it has turns."""

    data: Subset
    term: Term
    batch_size: int
    turns: Turns | None = None


def train(
    model: nn.Module,
    data: Subset,
    training: Training,
    run: Run,
    *,
    mask: Mask | None = None,
    held: Held | None = None,
    loss: Loss | None = None,
    guides: tuple[nn.Module, ...] = (),
    beside: Beside | None = None,
    penalty: Penalty | None = None,
    start_epoch: int = 0,
    stop_epoch: int | None = None,
    first_step: int = 0,
    seed: int | None = None,
    label: str = "training",
    prefix: str = "",
    frozen: bool = False,
    make: MakeOptimizer = make_optimizer,
    optimizer_state: Mapping[str, Tensor] | None = None,
    factor: Factor | None = None,
    after_step: AfterStep | None = None,
    after_epoch: AfterEpoch | None = None,
) -> None:
    """Train ``model`` in place by gradient descent.

    Where several ranks do it together, each takes its part of every batch, and all of them make
    the step that one process would make of the whole batch. DivergedError if the loss of an epoch
    is not finite.

    Parameters
    ----------
    data
        What to train on.
    mask
        Its pruned weights are set to zero at the start, get no gradient, and are zero after
        every step.
    held
        Weights that do not move, or not as fast, in addition to the pruned ones.
    loss
        Of logits (n, classes), labels (n,) and the logits of each guide: a mean over the samples.
        By default cross-entropy, with the label smoothing of ``training``.
    guides
        Networks that are shown the same images as this one, and are not trained.
    beside
        A second set; its term is added to the loss of every step, not to the loss that is logged,
        unless it takes turns.
    penalty
        Of the epoch alone, however often it is called; a scalar that is added to the loss.
    start_epoch, stop_epoch
        Part of the schedule to run, ``start_epoch <= epoch < stop_epoch``; by default all.
        The order of samples of an epoch, and all else that is drawn in it, depends on the seed
        and the epoch alone.
    first_step
        Added to the epoch to give the step of logged numbers.
    seed
        Of the order and augmentation of samples; by default the run's.
    prefix
        Of the names of logged numbers, where this is not the main training.
    frozen
        Keep the network in evaluation mode: normalisation by its running statistics, which stay
        as they are, and no dropout. For data whose statistics are not those of all data.
    make
        Makes the optimiser of network and settings; by default the one that ``training`` names.
    optimizer_state
        What :func:`mu.training.optimizers.optimizer_state` gave after the epoch before, to go on
        with; by default the optimiser starts afresh.
    factor
        On the learning rate, of the epochs passed, fractions included; by default the schedule's.
    after_step
        Called with the epoch and the learning rate of the step just taken, pruned weights being
        zero again. It may change weights, and must not wait for the device.
    after_epoch
        Called with the epoch just finished and the optimiser.
    """
    run.place(model, data.images.shape)
    seed = run.seed if seed is None else seed
    batches = Batches(
        data, training.batch_size, run.device, augment=training.augment, ranks=run.ranks
    )
    masks = [] if mask is None or mask.is_dense else [mask.bind(model)]
    for bound in masks:
        bound.apply()
    holds = all_holds(model, training, held, batches.few, run)
    optimizer = make(model, training)
    if optimizer_state is not None:
        restore_optimizer(optimizer, model, optimizer_state)
    if loss is None:
        loss = partial(F.cross_entropy, label_smoothing=training.label_smoothing)
    second = beside and Cycled(beside.data, beside.batch_size, run, training.augment)
    stop = training.epochs if stop_epoch is None else stop_epoch
    with (
        at_rest(holds),
        averaged(
            Objective(model, Term(loss, guides), penalty, run, beside.term if beside else None),
            batches.few,
            run,
        ) as objective,
        live_channels(model, lambda: batches.few()[0], mask) if masks else nullcontext(),
        run.progress(label, (stop - start_epoch) * batches.samples) as advance,
    ):
        step = _Step(model, objective, optimizer, training, [*masks, *holds], after_step, factor)
        for epoch in range(start_epoch, stop):
            model.train(not frozen)
            for one in holds:
                one.begin(epoch)
            totals = torch.zeros(2, device=run.device)
            draws = generator(seed, f"order of epoch {epoch}")
            order = batches.shuffled(draws, mirrored_in(epoch, len(data), seed))
            seconds = second.batches(seed, epoch) if second else repeat(None)
            turning = Turning(beside and beside.turns, model, step.alone, seconds)
            lookahead = Lookahead(model, training)
            # No two ranks drop the same units of different samples.
            with seeded(seed, f"draws of epoch {epoch}{run.ranks.suffix}", run.device):
                each = zip(order, batches.shares, strict=True)
                for number, (batch, share) in enumerate(each):
                    moment = epoch + number / len(batches)
                    totals += step(*batch, share, moment, turning.second(number, moment))
                    lookahead.step(epoch, number + 1, len(batches))
                    advance(share.whole, f"epoch {epoch + 1}/{stop}")
            turning.follow()
            share_statistics(model, run)
            run.samples_seen += batches.samples
            totals = run.ranks.add_up(totals)
            # The only time in an epoch that the host waits for the device.
            mean, right = (totals / batches.samples).tolist()
            if not math.isfinite(mean):
                raise DivergedError(
                    f"the loss became {mean} in epoch {epoch + 1}; lower lr (or the penalty)"
                )
            numbers = {f"{prefix}loss": mean, f"{prefix}train_acc": 100 * right}
            run.log_all(numbers | ({} if prefix else {"lr": step.rate}), first_step + epoch)
            if after_epoch is not None:
                after_epoch(epoch, optimizer)


class _Step:
    """One step of the optimiser, with everything that belongs to it."""

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module,
        optimizer: Optimizer,
        training: Training,
        bounds: Sequence[BoundMask | Hold],
        after: AfterStep | None,
        factor: Factor | None,
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.training, self.bounds, self.after = training, bounds, after
        self.factor = factor or partial(
            learning_rate_factor, training.schedule, epochs=training.epochs, warmup=training.warmup
        )
        self.rate = 0.0  # of the last step

    def __call__(
        self, images: Tensor, labels: Tensor, share: Share, moment: float, second: Second | None
    ) -> Tensor:
        """Take the step; gives this rank's sums of losses and of right answers, shape (2,)."""
        given = (images, labels, int(moment), share.weight, second)
        logits, value = self._take(moment, None, *given)
        if self.after is not None:
            self.after(int(moment), self.rate)
        right = (logits.argmax(1) == labels).sum()
        sums = torch.stack([value.float() * len(labels), right.float()])
        return sums if share.own else torch.zeros_like(sums)

    def alone(self, second: Second, moment: float, edit: Edit | None) -> None:
        """Take a step on a batch of the second set, whose gradients ``edit`` changes."""
        images, labels, weight = second
        self._take(moment, edit, images, labels, int(moment), weight, None, True)

    def _take(self, moment: float, edit: Edit | None, *given: Any) -> tuple[Tensor, Tensor]:
        """A step on what is ``given`` to the objective; gives logits and loss."""
        one = self.training
        self.rate = one.lr * self.factor(moment)
        set_rate(self.optimizer, self.rate)
        found = self._gradient(*given)
        if one.sam_rho:
            with ascended(self.model, one.sam_rho, adaptive=one.sam_adaptive):
                self._gradient(*given)
        if edit is not None:
            edit(self.model)
        self.optimizer.step()
        for bound in self.bounds:
            bound.apply()
        return found

    def _gradient(self, *given: Any) -> tuple[Tensor, Tensor]:
        """Leave the gradient of the objective in the parameters; gives logits and loss."""
        logits, value, whole = self.objective(*given)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(whole)
        for bound in self.bounds:
            bound.mask_gradients()
        return logits, value
