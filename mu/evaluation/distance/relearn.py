"""Relearn time: how many steps on the forget set bring back what was forgotten.

References
----------
Golatkar, Achille & Soatto (2020), Eternal Sunshine of the Spotless Net, CVPR, arXiv:1911.04933,
and Forgetting Outside the Box, ECCV, arXiv:2003.02960, count the epochs until the loss is back.
Chundawat, Tarun, Mandal & Kankanhalli (2023), Zero-Shot Machine Unlearning, IEEE TIFS,
arXiv:2201.05629, count the steps until the accuracy is within some percent of the original's, as
here; their anamnesis index is the count of the unlearned model over that of the oracle.
"""

from __future__ import annotations

import copy
import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from mu.checkpoints import Checkpoint
from mu.data.batches import Batches
from mu.data.forget_split import ForgetSplit
from mu.evaluation.outputs import BATCH_SIZE
from mu.runs import Run

SHARE = 0.95  # of the original's accuracy on the forget set, to come back to
MOST_STEPS = 200


def relearn_steps(
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
    *,
    target_accuracy: float,
    lr: float,
    batch_size: int,
    most: int = MOST_STEPS,
) -> int | None:
    """Steps of plain SGD on the forget set until a copy of the model knows it again.

    Neither momentum nor decay nor augmentation; the order of samples is drawn by the run's seed.
    The network stays in evaluation mode: the statistics of a forget set, often of one class, are
    not those of all data, and a network that took them over would know less on that account
    alone. Pruned weights stay zero. The model given is left as it is.

    The number is relative: an oracle relearns too, so compare with what the oracle needs.
    ValueError if the accuracy is not within 0-100. Gives 0 where the model has that accuracy
    already; None where ``most`` steps do not reach it.

    Parameters
    ----------
    target_accuracy
        On the forget set, in percent (0-100); see :data:`SHARE`.
    lr, batch_size
        Of the steps.
    most
        Steps after which to give up.
    """
    if not 0 <= target_accuracy <= 100:
        raise ValueError(f"target_accuracy={target_accuracy}: must be within 0 and 100")
    model = run.place(copy.deepcopy(checkpoint.model), split.dataset.shape).eval()
    bound = checkpoint.mask.bind(model)
    bound.apply()
    optimizer = SGD(model.parameters(), lr=lr)
    samples = Batches(split.forget_set, BATCH_SIZE, run.device)
    # A little slack, since the share of right answers that is asked for is rarely a binary one.
    allowed = math.floor(samples.samples * (1 - target_accuracy / 100) + 1e-9)
    batches = Batches(split.forget_set, batch_size, run.device)
    draws = (run.generator(f"relearning, epoch {epoch}") for epoch in itertools.count())
    order = itertools.chain.from_iterable(map(batches.shuffled, draws))
    for step, (images, labels) in enumerate(order):
        if _errs_at_most(model, samples, allowed, run):
            return step
        if step >= most:
            return None
        with run.autocast():
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        bound.apply()  # enough: without momentum, what moved a pruned weight is gone
    raise AssertionError("batches never end")


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
