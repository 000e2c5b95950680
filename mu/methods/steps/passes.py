"""Epochs that are passes over several sets, in a stated order: see :mod:`mu.methods.passing`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from mu.checkpoints import Checkpoint
from mu.data.extended import Extended
from mu.data.forget_split import ForgetSplit
from mu.data.images import Subset
from mu.runs import Run
from mu.training.loop import AfterEpoch, Beside, Factor, train
from mu.training.objective import Loss, Term
from mu.training.optimizers import make_optimizer, restore_optimizer
from mu.training.recipe import Training
from mu.training.schedules import learning_rate_factor
from mu.training.turns import Turns


class Pass(NamedTuple):
    """Once through a set.

    Attributes
    ----------
    data
        What is gone through, shuffled.
    loss, guides, beside
        As in :func:`mu.training.loop.train`.
    batch_size
        Images a step; by default the training's.
    prefix
        Of the numbers that it logs; the main pass of an epoch has none.
    """

    data: Subset
    loss: Loss | None = None
    guides: tuple[nn.Module, ...] = ()
    beside: Beside | None = None
    batch_size: int | None = None
    prefix: str = ""


def train_in_passes(
    model: nn.Module,
    passes: Callable[[int], Sequence[Pass]],
    training: Training,
    run: Run,
    *,
    after_epoch: AfterEpoch,
    start_epoch: int = 0,
    optimizer_state: Mapping[str, Tensor] | None = None,
    **settings: Any,
) -> None:
    """Train by the passes of each epoch, one after the other, with one optimiser for all.

    An epoch without passes ends it. What is not said here is as in
    :func:`mu.training.loop.train`; the learning rate is that of the epoch's beginning in all of it.
    """
    run.place(model)
    optimizer = make_optimizer(model, training)
    if optimizer_state is not None:
        restore_optimizer(optimizer, model, optimizer_state)

    def same(_model: nn.Module, _training: Training) -> Optimizer:
        return optimizer

    chosen: Factor | None = settings.pop("factor", None)
    factor = chosen or partial(learning_rate_factor, training.schedule, epochs=training.epochs)
    for epoch in range(start_epoch, training.epochs):
        todo = passes(epoch)
        for one in todo:
            train(
                model,
                one.data,
                training.replace(batch_size=one.batch_size or training.batch_size),
                run,
                loss=one.loss,
                guides=one.guides,
                beside=one.beside,
                prefix=one.prefix,
                start_epoch=epoch,
                stop_epoch=epoch + 1,
                factor=lambda moment: factor(int(moment)),
                make=same,
                **settings,
            )
        if not todo:
            return
        after_epoch(epoch, optimizer)


class Stage:
    """What the passes of an epoch are made of.

    Parameters
    ----------
    checkpoint
        The original, before anything is done to it.
    forget_batch_size
        Images a step of the forget set.
    teaches
        Whether the original is needed as a teacher.

    Attributes
    ----------
    epoch
        Counted from 0.
    forgets
        Whether the epoch is to forget: by the rule only while the network is surer of the forget
        set than is wanted.
    found
        What a method found out of the original, for later epochs.
    loss
        Of a pass over the forget set, where what the training happens in gives one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        forget_batch_size: int,
        *,
        teaches: bool = False,
    ) -> None:
        self.split, self.run, self.forget_batch_size = split, run, forget_batch_size
        self._checkpoint, self.epoch, self.forgets = checkpoint, 0, True
        self._guides: dict[str, nn.Module] = {}
        self.found: dict[str, Tensor] = {}
        self.loss: Loss | None = None
        if teaches:
            self._guides["teacher"] = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        self.classes = len(split.dataset.classes)  # the forgotten ones too

    def at(self, epoch: int, *, forgets: bool) -> Self:
        """The same in another epoch."""
        self.epoch, self.forgets = epoch, forgets
        return self

    @property
    def teacher(self) -> nn.Module:
        """The original in evaluation mode, without gradients; it stays as it was."""
        return self._guides["teacher"]

    @property
    def stranger(self) -> nn.Module:
        """The architecture with weights drawn anew, under the same mask, in evaluation mode."""
        if "stranger" not in self._guides:
            seed = int(torch.randint(2**31, (), generator=self.run.generator("stranger")))
            model = self._checkpoint.spec.recipe.model.build(seed)
            self._checkpoint.mask.apply(model)
            self._guides["stranger"] = self.run.place(model).eval().requires_grad_(False)
        return self._guides["stranger"]

    def draws(self, purpose: str) -> torch.Generator:
        """For what is drawn anew in each epoch."""
        return self.run.generator(f"{purpose} of epoch {self.epoch}")

    def relabelled(self, labels: Tensor) -> Subset:
        """The forget set with other labels, int64 of shape (n,)."""
        forget = self.split.forget_set
        whole = forget.images.labels.clone()
        whole[torch.from_numpy(forget.indices)] = labels
        return replace(forget, images=forget.images.relabelled(whole))

    def joined(self, forget: Subset, retain: Subset) -> Subset:
        """Both in one; of images with the labels of ``forget``."""
        return replace(forget, indices=np.concatenate([forget.indices, retain.indices]))

    def extended(self, pixels: Tensor, labels: Tensor, *, retained: bool) -> Subset:
        """The forget set, the retain set if wanted, and more images: where labels are not its.

        ``pixels``, ``labels``: one image for each of the forget set, grey levels (0-255) in
        float32; those that have the true label are left out.
        """
        forget, rows = self.split.forget_set, labels != self.split.forget_set.labels
        known = forget.images.labels
        images = Extended(forget.images, pixels[rows], torch.cat([known, labels[rows]]))
        more = replace(forget, indices=np.arange(len(known), len(images)))
        parts = [forget, *([self.split.retain_set] if retained else []), more]
        return replace(forget, images=images, indices=np.concatenate([o.indices for o in parts]))

    def marked(self, retain: Subset, *, forget: bool) -> Subset:
        """``retain``, and the forget set if wanted; the labels say which: 1 is of that."""
        marks = torch.zeros_like(retain.images.labels)
        marks[torch.from_numpy(self.split.forget)] = 1
        images = retain.images.relabelled(marks)
        both = self.joined(self.split.forget_set, retain) if forget else retain
        return replace(both, images=images)

    def retaining(self, loss: Loss | None = None, data: Subset | None = None, **how: Any) -> Pass:
        """The main pass of an epoch, over the retain set or what holds it."""
        return Pass(self.split.retain_set if data is None else data, loss, **how)

    def beside(self, loss: Loss, turns: Turns | None = None) -> Beside:
        """The forget set, of which each step of another pass sees a batch, or that has turns."""
        return Beside(self.split.forget_set, Term(loss), self.forget_batch_size, turns)

    def forgetting(self, loss: Loss | None = None, data: Subset | None = None, **how: Any) -> Pass:
        """A pass over the forget set, or what stands for it, before that over the retain set."""
        given = {"batch_size": self.forget_batch_size, "prefix": "forget_", **how}
        return Pass(self.split.forget_set if data is None else data, loss, **given)


def weighted(weight: float) -> Loss:
    """The cross-entropy, times ``weight``."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return weight * F.cross_entropy(logits, labels)

    return loss


def divergence(logits: Tensor, wanted: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(wanted / T) || softmax(logits / T)): a sum over classes, a mean over samples.

    ``logits`` and ``wanted``: of shape (n_samples, n_classes).
    """
    ours, theirs = ((one / temperature).log_softmax(1) for one in (logits, wanted))
    return F.kl_div(ours, theirs, log_target=True, reduction="batchmean")
