"""Relearn time: how many steps on the forget set bring back what was forgotten.

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
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from mu.checkpoints import Checkpoint
from mu.data.batches import Batches
from mu.data.forget_split import ForgetSplit
from mu.data.images import Indices
from mu.evaluation.depth.head import with_rows_anew
from mu.evaluation.outputs import Outputs
from mu.runs import Run

SHARE = 0.95  # of the original's accuracy on the forget set, to come back to
MOST_STEPS = 200
LR = 0.01
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


def quickest_steps(
    checkpoint: Checkpoint, split: ForgetSplit, run: Run, *, target_accuracy: float, batch_size: int
) -> int | None:
    """The fewer of two :func:`relearn_steps`: of the model, and with rows of its head anew.

    The rows are those of the classes that are forgotten as a whole; where there is no such class,
    or no head, there is one way only.
    """
    anew = with_rows_anew(checkpoint, split.forgotten_classes)
    ways = [
        _known(one, split, run, target_accuracy, (batch_size, LR))
        for one in (checkpoint, anew)
        if one is not None
    ]
    # Side by side, so that the slower way takes no more steps than the quicker one.
    for step in range(MOST_STEPS):
        if any(next(way) for way in ways):
            return step
    return None


def relearn_steps(
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
    *,
    target_accuracy: float,
    batch_size: int,
    lr: float = LR,
    most: int = MOST_STEPS,
) -> int | None:
    """Steps of plain SGD on the forget set until a copy of the model knows it again.

    Neither momentum nor decay nor augmentation; the order of samples is drawn by the run's seed.
    The network stays in evaluation mode: the statistics of a forget set, often of one class, are
    not those of all data, and a network that took them over would know less on that account
    alone. Pruned weights stay zero. The model given is left as it is.

    The number is relative: an oracle relearns too, so compare with what the oracle needs.
    ValueError if the accuracy is not within 0-100. Gives 0 where the model has that accuracy
    already; None where it takes ``most`` steps or more.

    Parameters
    ----------
    target_accuracy
        On the samples of :func:`checked`, in percent (0-100); see :func:`target`.
    batch_size, lr
        Of the steps.
    most
        Steps that are too many.
    """
    known = _known(checkpoint, split, run, target_accuracy, (batch_size, lr))
    return next((step for step, found in zip(range(most), known, strict=False) if found), None)


def _known(
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
    target_accuracy: float,
    settings: tuple[int, float],
) -> Iterator[bool]:
    """Whether a copy knows the forget set before the first step, after it, and so on, endlessly.

    ``settings``: batch size and learning rate.
    """
    if not 0 <= target_accuracy <= 100:
        raise ValueError(f"target_accuracy={target_accuracy}: must be within 0 and 100")
    batch_size, lr = settings
    model = run.place(copy.deepcopy(checkpoint.model), split.dataset.shape).eval()
    bound = checkpoint.mask.bind(model)
    bound.apply()
    optimizer = SGD(model.parameters(), lr=lr)
    known = split.dataset.training_subset(split.forget[checked(len(split.forget), run)])
    samples = Batches(known, CHECK_BATCH, run.device)
    # A little slack, since the share of right answers that is asked for is rarely a binary one.
    allowed = math.floor(samples.samples * (1 - target_accuracy / 100) + 1e-9)
    batches = Batches(split.forget_set, batch_size, run.device)
    draws = (run.generator(f"relearning, epoch {epoch}") for epoch in itertools.count())
    order = itertools.chain.from_iterable(map(batches.shuffled, draws))
    for images, labels in order:
        yield _errs_at_most(model, samples, allowed, run)
        with run.autocast():
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        bound.apply()  # enough: without momentum, what moved a pruned weight is gone


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
