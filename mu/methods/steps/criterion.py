"""The rule that says how far to go: see :mod:`mu.methods.step_size_search`."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mu.data.forget_split import ForgetSplit
from mu.data.images import Subset
from mu.evaluation.outputs import Outputs, predict
from mu.runs import Run

LOOKED_AT = 500  # images of the retain and of the forget set, drawn once
ALREADY = (
    "the network is no surer of the forget set than of unseen images already, so the rule of "
    "max_accuracy_drop changed nothing; alpha (or lr, of ga) goes as far as it says all the same"
)


class StopCriterion:
    """Tells whether a network has forgotten enough, or has paid too much for it.

    Parameters
    ----------
    model
        The original: what it does on the retain and validation samples is what counts.
    max_accuracy_drop
        Points of accuracy on the retain set.
    until_forgotten
        Whether forgetting enough is an end; without it, only the retain set sets one.
    """

    def __init__(
        self,
        model: nn.Module,
        split: ForgetSplit,
        run: Run,
        max_accuracy_drop: float,
        *,
        until_forgotten: bool = True,
    ) -> None:
        self._run = run
        draws = run.generator("images that tell how far to go")
        self._retain = split.retain_set.drawn(LOOKED_AT, draws)
        self._forget = split.forget_set.drawn(LOOKED_AT, draws)
        known = torch.from_numpy(~_not_to_be_recognised(split))
        self._gone = ~known[torch.from_numpy(np.searchsorted(split.forget, self._forget.indices))]
        self.max_accuracy_drop, self.until_forgotten = max_accuracy_drop, until_forgotten
        self.lowest = self._accuracy(model, self._retain) - max_accuracy_drop
        self.wanted = _unseen_confidence(model, split, run) if until_forgotten else -math.inf

    def holds(self, model: nn.Module) -> bool:
        """Whether the retain set has lost no more than is to be spent."""
        return self._accuracy(model, self._retain) >= self.lowest

    def is_forgotten(self, model: nn.Module) -> bool:
        """Whether the network is no surer of the forget set than of unseen images."""
        outputs = self._outputs(model, self._forget)
        if outputs is None:
            return True
        right = (outputs.predictions == outputs.labels).double()
        known = torch.where(self._gone, right, outputs.confidence())
        return 100.0 * float(known.mean()) <= self.wanted

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


def _not_to_be_recognised(split: ForgetSplit) -> NDArray[np.bool_]:
    """Which samples of the forget set are not to be given their label at all, (n,)."""
    labels = split.dataset.train.labels.numpy()[split.forget]
    return np.isin(labels, split.forgotten_classes) | split.mislabelled


def _unseen_confidence(model: nn.Module, split: ForgetSplit, run: Run) -> float:
    """Mean probability of the true class of validation samples, in percent.

    Their classes are weighted as in the forget set, where samples whose label is not to be
    recognised count as zero. Classes of which there is no validation sample are left out; where
    nothing is left, 0.
    """
    labels, unseen = split.forget_set.labels, split.val_set
    gone = torch.from_numpy(_not_to_be_recognised(split))
    wanted = labels[~gone & torch.isin(labels, unseen.labels)]
    if not len(wanted):
        return 0.0
    outputs = predict(model, unseen, run)
    run.samples_seen += len(unseen)
    confidence = outputs.confidence()
    of_class = {
        label: float(confidence[outputs.labels == label].mean()) for label in set(wanted.tolist())
    }
    mean = sum(of_class[label] for label in wanted.tolist()) / len(wanted)
    return 100.0 * mean * float((~gone).double().mean())
