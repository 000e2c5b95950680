"""A forget set in parts by memorisation, and methods that forget one part after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.data.images import Indices
from mu.errors import UserError
from mu.evaluation.outputs import predict
from mu.methods.base import Method
from mu.methods.steps.criterion import ALREADY, StopCriterion
from mu.runs import Run


def least_sure(model: nn.Module, split: ForgetSplit, run: Run) -> Indices:
    """The forget set's sample numbers, those first whose label the network is least sure of.

    By the log-odds of the true class, in evaluation mode; of equal ones the lower number first.
    """
    odds = predict(model, split.forget_set, run).score("margin").numpy()
    run.samples_seen += len(split.forget)
    return split.forget[np.argsort(odds, kind="stable")]


def in_parts(ranked: Indices, count: int) -> list[Indices]:
    """Sample numbers in parts, the least memorised first, each sorted.

    ``ranked``: the most memorised first. Where sizes differ, by one, the more memorised parts are
    the larger ones; there may be empty ones.
    """
    return [np.sort(one) for one in reversed(np.array_split(ranked, count))]


def forget_in_turn(
    methods: Sequence[Method],
    found: Sequence[Indices],
    checkpoint: Checkpoint,
    split: ForgetSplit,
    run: Run,
) -> None:
    """Have each method forget its part; what is in later parts is retained until its turn.

    A part that a method refuses is left as it is, with a note.
    """
    was_training = checkpoint.model.training
    for number, (method, part) in enumerate(zip(methods, found, strict=True)):
        if not len(part):
            continue
        retain = np.sort(np.concatenate([split.retain, *found[number + 1 :]]))
        inner, turn = run.apart(), replace(split, forget=part, retain=retain)
        try:
            method.check(turn)
        except UserError as error:
            run.note(f"{method.name} left its {len(part)} samples as they are: {error}")
            continue
        method.unlearn(checkpoint, turn, inner)
        run.samples_seen += inner.samples_seen
        run.notes += [f"{method.name}, {len(part)} samples: {note}" for note in inner.notes]
    checkpoint.model.train(was_training)
    for one in checkpoint.model.parameters():
        one.requires_grad_(True)
        one.grad = None


def unless_farther(
    criterion: StopCriterion, checkpoint: Checkpoint, run: Run, work: Callable[[], None]
) -> None:
    """Do the work on the network, and undo it if the criterion ranks the original before it.

    Where the original is forgetful enough as it is, nothing is done.
    """
    before = kept = criterion.standing(checkpoint.model)
    run.log("excess_before", before.excess)
    if before.excess <= criterion.chance:
        run.note(ALREADY)
        return
    weights, mask = copy.deepcopy(checkpoint.model.state_dict()), checkpoint.mask
    work()
    after = criterion.standing(checkpoint.model)
    if criterion.rank(after) <= criterion.rank(before):
        kept = after
    else:
        checkpoint.model.load_state_dict(weights)
        checkpoint.mask = mask
        run.note("all parts together ended farther from the goal than the original, which was kept")
    run.log("excess", kept.excess)
