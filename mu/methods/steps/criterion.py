"""How far every method goes: see :mod:`mu.methods.stopping`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mu.data.forget_split import ForgetSplit
from mu.data.images import Subset
from mu.errors import UserError
from mu.evaluation.outputs import Outputs, predict
from mu.runs import Run

LOOKED_AT = 500  # images of the retain and of the forget set, drawn once
OVERSHOOT = 1.0  # points less sure than wanted that still count as there
ALREADY = (
    "the network is no surer of the forget set than of unseen images already, or by no more than "
    "chance explains, so the rule went no further; a scale that is given (alpha, lr, l1_strength) "
    "goes as far as it says all the same"
)


class Standing(NamedTuple):
    """Where a network stands, in percentage points."""

    # How much surer it is of the forget set than is wanted; negative where it is less sure. -inf
    # where outputs are not finite.
    excess: float
    # Accuracy on the retain set that it has lost; negative where it has gained some. inf where
    # outputs are not finite.
    drop: float

    @property
    def distance(self) -> float:
        """How far from what is wanted, on either side."""
        return abs(self.excess)

    @property
    def overshot(self) -> bool:
        """Whether more was forgotten than was wanted."""
        return self.excess < -OVERSHOOT

    @property
    def is_forgotten(self) -> bool:
        """Whether the network is no surer of the forget set than is wanted."""
        return self.excess <= 0


class StopCriterion:
    """Tells whether a network has forgotten enough, too much, or has paid too much for it.

    It looks at the retain, forget and validation samples only. Nothing here knows an oracle or a
    test image.

    Parameters
    ----------
    model
        The original: what it does on the retain and validation samples is what counts.
    max_accuracy_drop
        Points of accuracy that the retain set may lose.

    Raises
    ------
    UserError
        If no sample of the forget set has anything to be compared with.

    Attributes
    ----------
    wanted
        How sure the network should be of the forget set, in percent: as sure as the original is
        of validation samples of the same classes. Samples of a class that goes as a whole, and
        poisoned ones, are not to be given their label at all; they count as zero.
    chance
        Half of the standard error, in points, of the difference of two means of unseen images. An
        original whose excess is no larger is left alone: going further would bring it nearer to a
        network that never saw the forget set by less than a tenth of a standard error.
    """

    def __init__(
        self, model: nn.Module, split: ForgetSplit, run: Run, max_accuracy_drop: float = 1.0
    ) -> None:
        self._run, self.max_accuracy_drop = run, max_accuracy_drop
        gone, counts = _not_to_be_recognised(split), comparable(split)
        check_comparable(split)
        if share := 1 - counts.mean():
            run.note(
                f"{100 * share:.1f} % of the forget set are of classes without a validation image; "
                "how far to go was told by the others"
            )
        draws = run.generator("images that tell how far to go")
        self._retain = split.retain_set.drawn(LOOKED_AT, draws)
        data, numbers = split.dataset, split.forget[counts]
        self._forget = data.training_subset(numbers).drawn(LOOKED_AT, draws)
        rows = np.searchsorted(split.forget, self._forget.indices)
        self._gone = torch.from_numpy(gone[rows])
        self._before = self._accuracy(model, self._retain)
        self.wanted, self.chance = _unseen_confidence(model, split, gone[counts], numbers, run)

    def standing(self, model: nn.Module) -> Standing:
        """Where ``model`` stands: two passes over at most 500 images each."""
        return Standing(self.excess(model), self.drop(model))

    def excess(self, model: nn.Module) -> float:
        """How much surer ``model`` is of the forget set than is wanted: see :class:`Standing`."""
        outputs = self._outputs(model, self._forget)
        if outputs is None:
            return -math.inf
        known = torch.where(self._gone, outputs.right.double(), outputs.confidence())
        return 100.0 * float(known.mean()) - self.wanted

    def drop(self, model: nn.Module) -> float:
        """How much accuracy the retain set has lost: see :class:`Standing`."""
        return self._before - self._accuracy(model, self._retain)

    def affords(self, standing: Standing) -> bool:
        """Whether the retain set has lost no more than it may."""
        return standing.drop <= self.max_accuracy_drop

    def rank(self, standing: Standing) -> tuple[bool, float, float]:
        """What comes first is better: affordable, then near to what is wanted, then cheap."""
        there = standing.is_forgotten and not standing.overshot
        return not self.affords(standing), 0.0 if there else standing.distance, standing.drop

    def is_met(self, standing: Standing) -> bool:
        """Whether nothing could rank before it: all is forgotten, and no accuracy to be had."""
        best = Standing(0.0, self._before - 100.0)
        return self.rank(standing) <= self.rank(best)

    def shortfall(self) -> str:
        """What to say where the retain set set an end before the forget set was forgotten."""
        points = f"{self.max_accuracy_drop:g} point{'' if self.max_accuracy_drop == 1 else 's'}"
        return (
            f"the retain set would have lost more than {points} (max_accuracy_drop) before the "
            "forget set was forgotten as unseen images are; this is as far as it went"
        )

    def _accuracy(self, model: nn.Module, subset: Subset) -> float:
        """Percent; below all where outputs are not finite."""
        outputs = self._outputs(model, subset)
        return -math.inf if outputs is None else outputs.accuracy()

    def _outputs(self, model: nn.Module, subset: Subset) -> Outputs | None:
        """What ``model`` says of the images, or None where that is not finite."""
        self._run.samples_seen += len(subset)
        outputs = predict(model, subset, self._run)
        return outputs if outputs.finite else None


def comparable(split: ForgetSplit) -> NDArray[np.bool_]:
    """Which samples of the forget set something says how well they are to be known, (n,).

    Of those of a class that has a validation image that is, and of those that are not to be
    recognised at all no image is needed.
    """
    labels, unseen = split.forget_set.labels.numpy(), split.val_set.labels.numpy()
    return np.isin(labels, unseen) | _not_to_be_recognised(split)


def check_comparable(split: ForgetSplit, given: str = "the scale") -> None:
    """Refuse a forget set of which nothing says how far to go.

    ``given``: the setting that would say it. UserError if none of its samples is
    :func:`comparable`.
    """
    if not comparable(split).any():
        raise UserError(
            f"nothing says how far to go: no class of the forget set has a validation image; give "
            f"{given}, or make the original with val_share (mu import: with trained_on)"
        )


def _not_to_be_recognised(split: ForgetSplit) -> NDArray[np.bool_]:
    """Which samples of the forget set are not to be given their label at all, (n,)."""
    labels = split.dataset.train.labels.numpy()[split.forget]
    return np.isin(labels, split.forgotten_classes) | split.mislabelled


def _unseen_confidence(
    model: nn.Module,
    split: ForgetSplit,
    gone: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    run: Run,
) -> tuple[float, float]:
    """Mean probability of the true class of validation samples, and ``chance``; both in percent.

    Their classes are weighted as in the samples ``numbers``, of which those that are ``gone`` count
    as zero.
    """
    labels, unseen = split.dataset.train.labels[torch.from_numpy(numbers)], split.val_set
    wanted = labels[torch.from_numpy(~gone)].tolist()
    if not wanted:
        return 0.0, 0.0
    outputs = predict(model, unseen, run)
    run.samples_seen += len(unseen)
    confidence = outputs.confidence()
    of_class = {label: confidence[outputs.labels == label] for label in {*wanted}}
    means = {label: float(one.mean()) for label, one in of_class.items()}
    every = torch.cat([*of_class.values()])
    error = 0.5 * float(every.std(correction=0)) * math.sqrt(1 / len(wanted) + 1 / len(every))
    mean = sum(means[label] for label in wanted) / len(wanted)
    share = 100.0 * len(wanted) / len(labels)
    return share * mean, share * error
