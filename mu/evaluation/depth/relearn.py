"""Relearn time: how many steps on the forget set bring back what was forgotten.

Steps are in the scale of each layer. Plain SGD with one rate measures how large the weights are:
behind a normalisation, a layer of three times the size computes the same, and takes nine times as
many steps. Methods that train at a high rate leave larger weights, penalties smaller ones.

The target is an accuracy. The loss of the original, which Golatkar et al. come back to, is no use
where originals fit their data: its last decimals take most of the steps, whoever takes them. On
digits, class 3, a network whose one output was switched off took nearly as many steps as the oracle
to the loss (about 140 and 150), and 5 where that took 22 to the accuracy. The price: where an
oracle has that accuracy without having seen the samples, as it mostly does of random ones, there is
nothing to relearn, and no ratio to give.

Where a class is forgotten as a whole, it is brought back in two ways, for every network alike, and
the quicker one counts: as it is, and with the class's row of the head started anew. Else a row that
was merely pushed far down would count as deep (a bias of -10,000 took 11 of the oracle's 22 steps
on digits; anew 5 of 14), though nobody who wants the class back would leave it there.

References
----------
Chundawat, Tarun, Mandal & Kankanhalli (2023), Zero-Shot Machine Unlearning, IEEE TIFS,
arXiv:2201.05629, count the steps until the accuracy is within some percent of the original's, as
here; their anamnesis index is the count of the unlearned model over that of the oracle. Golatkar,
Achille & Soatto (2020), Eternal Sunshine of the Spotless Net, CVPR, arXiv:1911.04933, and
Forgetting Outside the Box, ECCV, arXiv:2003.02960, count the epochs until the loss is back.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from mu.checkpoints import Checkpoint
from mu.data.batches import Batches
from mu.data.forget_split import ForgetSplit
from mu.data.images import Indices
from mu.evaluation.case import Model
from mu.evaluation.depth.head import with_rows_anew
from mu.evaluation.outputs import Outputs
from mu.live_channels import live_channels
from mu.runs import Run

SHARE = 0.95  # of the original's accuracy on the forget set, to come back to
RATES = (0.01, 0.002, 0.0004, 0.00008)  # the largest at which an oracle takes the fewest steps
FEWEST_STEPS = 10  # of an oracle, for a share of them to be more than a matter of one step
MOST_STEPS = 200
MOST_CHECKED = 500  # samples of the forget set that accuracies are taken on
CHECK_BATCH = 64  # few, since the first batch mostly shows that a network has not got there


def checked(count: int, run: Run) -> Indices:
    """Places in a forget set of ``count`` samples of those that accuracies are taken on, sorted.

    All of them, or 500 drawn by the run's seed.
    """
    order = torch.randperm(count, generator=run.generator("relearning, checked samples"))
    return np.sort(order[:MOST_CHECKED].numpy())


def target(original: Outputs, run: Run) -> float:
    """The accuracy to come back to: 95 % of the original's on the forget set, in percent.

    ``original``: what it says of the forget set.
    """
    rows = torch.from_numpy(checked(len(original), run))
    return SHARE * original.select(rows).accuracy()


def layer_norms(model: nn.Module) -> dict[str, float]:
    """Norm of each layer's weights, by its name; of one that has vectors only, of all of these."""
    layers: dict[str, list[Tensor]] = {}
    for name, parameter in model.named_parameters():  # a tied one once
        layers.setdefault(name.rpartition(".")[0], []).append(parameter.detach())
    weights = {name: [one for one in its if one.dim() > 1] or its for name, its in layers.items()}
    return {
        name: math.sqrt(sum(float(one.double().square().sum()) for one in its))
        for name, its in weights.items()
    }


@dataclass(frozen=True)
class Relearning:
    """How what was forgotten is brought back: the same for all networks of a forget set.

    Plain SGD on the forget set, without momentum, decay and augmentation; the order of samples is
    drawn by the run's seed. Networks stay in evaluation mode: the statistics of a forget set, often
    of one class, are not those of all data, and a network that took them over would know less on
    that account alone. Pruned weights stay zero. A network that is given is left as it is.
    ValueError if the accuracy is not within 0-100.
    """

    split: ForgetSplit
    run: Run
    # On the samples of :func:`checked`, in percent (0-100); see :func:`target`.
    target_accuracy: float
    batch_size: int
    # Of the original's layers. The rate of a layer that is c times as large is c^2 times the rate,
    # so that a rescaling that changes no output changes no number of steps; of a layer that is
    # zero, or is not there, it is the rate.
    norms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.target_accuracy <= 100:
            raise ValueError(f"target_accuracy={self.target_accuracy}: must be within 0 and 100")

    @classmethod
    def of(cls, original: Model, split: ForgetSplit, run: Run) -> Self:
        """Back to what the original knew, in its scale and with its batch size."""
        checkpoint = original.checkpoint
        accuracy, norms = target(original.outputs.forget, run), layer_norms(checkpoint.model)
        return cls(split, run, accuracy, checkpoint.spec.recipe.training.batch_size, norms)

    def quickest(
        self, checkpoint: Checkpoint, lr: float = RATES[0], most: int = MOST_STEPS
    ) -> int | None:
        """The fewer of two :meth:`steps`: of the model, and with rows of its head anew.

        The rows are those of the classes that are forgotten as a whole; where there is no such
        class, or no head, there is one way only.
        """
        anew = with_rows_anew(checkpoint, self.split.forgotten_classes)
        ways = [self._known(one, lr) for one in (checkpoint, anew) if one is not None]
        # Side by side, so that the slower way takes no more steps than the quicker one.
        for step in range(most):
            if any(next(way) for way in ways):
                return step
        return None

    def steps(
        self, checkpoint: Checkpoint, lr: float = RATES[0], most: int = MOST_STEPS
    ) -> int | None:
        """Steps until a copy of the model knows the forget set again.

        The number is relative: an oracle relearns too, so compare with what the oracle needs.
        0 where the model has that accuracy already; None where it takes ``most`` steps or more.
        """
        known = self._known(checkpoint, lr)
        return next((step for step, found in zip(range(most), known, strict=False) if found), None)

    def fine(self, checkpoint: Checkpoint) -> tuple[int | None, float]:
        """Steps of an oracle, :meth:`quickest`, and their rate: so small that it takes ten.

        At the smallest rate it may take fewer: such an oracle all but knows the samples.
        """
        found, lr = None, RATES[0]
        for lr in RATES:
            found = self.quickest(checkpoint, lr)
            if found is None or found == 0 or found >= FEWEST_STEPS:
                break
        return found, lr

    def _known(self, checkpoint: Checkpoint, lr: float) -> Iterator[bool]:
        """Whether a copy knows the forget set before the first step, after it, and so on."""
        run, split = self.run, self.split
        model = run.place(copy.deepcopy(checkpoint.model), split.dataset.shape).eval()
        bound = checkpoint.mask.bind(model)
        bound.apply()
        optimizer = SGD(self._rates(model, lr), lr=lr)
        known = split.dataset.training_subset(split.forget[checked(len(split.forget), run)])
        samples = Batches(known, CHECK_BATCH, run.device)
        # A little slack, since the share of right answers is rarely a binary fraction.
        allowed = math.floor(samples.samples * (1 - self.target_accuracy / 100) + 1e-9)
        batches = Batches(split.forget_set, self.batch_size, run.device)
        draws = (run.generator(f"relearning, epoch {epoch}") for epoch in itertools.count())
        order = itertools.chain.from_iterable(map(batches.shuffled, draws))
        with live_channels(model, lambda: samples.few()[0], checkpoint.mask):
            for images, labels in order:
                yield _errs_at_most(model, samples, allowed, run)
                with run.autocast():
                    loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
                bound.apply()  # enough: without momentum, what moved a pruned weight is gone

    def _rates(self, model: nn.Module, lr: float) -> list[dict[str, Any]]:
        """Each parameter with the rate of its layer, for an optimizer."""
        here = layer_norms(model)
        scales = {
            name: (norm / self.norms[name]) ** 2
            for name, norm in here.items()
            if norm and self.norms.get(name)
        }
        return [
            {"params": [parameter], "lr": lr * scales.get(name.rpartition(".")[0], 1.0)}
            for name, parameter in model.named_parameters()
        ]


@torch.no_grad()
def _errs_at_most(model: nn.Module, samples: Batches, allowed: int, run: Run) -> bool:
    """Whether the model gets at most so many samples wrong; stops at the first one too many.

    So as long as most is forgotten, looking after every step costs a batch, not the set.
    """
    wrong = 0
    for images, labels in samples.in_order():
        with run.autocast():
            predictions = model(images).float().argmax(1)
        wrong += int((predictions != labels).sum())
        if wrong > allowed:
            return False
    return True
