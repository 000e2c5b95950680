"""How far to go, for methods that have no end of their own.

The right scale of a noise, a step or an ascent spans many orders of magnitude over data sets,
networks and forget sets: on an original that fits its data, gradients and Fisher information
nearly vanish. What the scale is to achieve does not. So by default it follows from a rule, which
looks at the original's own data and at no test image:

- go on until the network is no surer of the forget set than of images of the same classes that
  the original never saw: its validation part. Of a class that is forgotten as a whole, nothing is
  to be recognised, and no poisoned sample is to be given its false label;
- but never so far that the retain set loses more than ``spend`` points of accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mu.data.forget import ForgetSplit
from mu.data.images import Subset
from mu.errors import UserError
from mu.evaluation.outputs import Outputs, predict
from mu.fisher.free import FreeWeights
from mu.hyperparameters import setting
from mu.methods.base import Method
from mu.runs import Run

LOOKED_AT = 500  # images of the retain and of the forget set, drawn once
# The search of a scale: steps relative to the weights' norm, their growth, and how finely.
FIRST, LAST = 1e-3, 1e3
GROWTH = 4.0
HALVINGS = 5
ALREADY = (
    "the network is no surer of the forget set than of unseen images already, so the rule of spend "
    "changed nothing; alpha (or lr, of ga) goes as far as it says all the same"
)


@dataclass(frozen=True)
class Reaching(Method):
    """A method whose scale is found by the rule, unless it is given."""

    # The setting that says how far to go, and those that then have nothing to say.
    scale: ClassVar[str] = "alpha"
    idle: ClassVar[tuple[str, ...]] = ("spend",)

    spend: float = setting(
        1.0,
        help="points of accuracy on the retain set that forgetting may cost, where the scale is "
        "not given",
        above=0.0,
        high=100.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = getattr(self, self.scale)
        for one in fields(self):
            value = getattr(self, one.name)
            if given is not None and one.name in self.idle and value != one.default:
                raise UserError(
                    f"{one.name}={value:g} has no effect beside {self.scale}={given:g}, which says "
                    "how far to go; leave one of them out"
                )


class Reach:
    """Tells whether a network has forgotten enough, or has paid too much for it.

    Parameters
    ----------
    model
        The original: what it does on the retain and validation samples is what counts.
    spend
        Points of accuracy on the retain set.
    until_forgotten
        Whether forgetting enough is an end; without it, only the retain set sets one.
    """

    def __init__(
        self,
        model: nn.Module,
        split: ForgetSplit,
        run: Run,
        spend: float,
        *,
        until_forgotten: bool = True,
    ) -> None:
        self._run = run
        draws = run.generator("images that tell how far to go")
        self._retain = split.retain_set.drawn(LOOKED_AT, draws)
        self._forget = split.forget_set.drawn(LOOKED_AT, draws)
        known = torch.from_numpy(~_not_to_be_recognised(split))
        self._gone = ~known[torch.from_numpy(np.searchsorted(split.forget, self._forget.indices))]
        self.spend, self.until_forgotten = spend, until_forgotten
        self.lowest = self._accuracy(model, self._retain) - spend
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
        points = f"{self.spend:g} point{'' if self.spend == 1 else 's'}"
        return (
            f"the retain set would have lost more than {points} (spend) before the forget set was "
            "forgotten as unseen images are; this is as far as it went"
        )

    def _accuracy(self, model: nn.Module, subset: Subset) -> float:
        """Percent; below all where outputs are no numbers."""
        outputs = self._outputs(model, subset)
        return -math.inf if outputs is None else outputs.accuracy()

    def _outputs(self, model: nn.Module, subset: Subset) -> Outputs | None:
        """What ``model`` says of the images, or None where it is no number."""
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


def move(
    free: FreeWeights,
    model: nn.Module,
    direction: Tensor,
    alpha: float | Reach,
    run: Run,
) -> None:
    """Add ``alpha * direction`` to the free weights of ``model``; alpha is logged.

    Parameters
    ----------
    direction
        Of shape (free weights,).
    alpha
        The scale, or by what the rule finds it.
    """
    weights = free.now()

    def write(scale: float) -> None:
        free.write(weights + scale * direction)

    if isinstance(alpha, Reach):
        alpha = farthest(alpha, model, write, weights, direction, run)
    else:
        write(alpha)
    run.log("alpha", alpha)


def farthest(
    reach: Reach,
    model: nn.Module,
    write: Callable[[float], None],
    weights: Tensor,
    direction: Tensor,
    run: Run,
) -> float:
    """The scale at which enough is forgotten, or else the largest that the retain set can afford.

    It is bracketed by powers of :data:`GROWTH` and then narrowed down.

    Parameters
    ----------
    write
        Sets the weights of ``model`` to those of a scale. They are left at the scale returned.
    weights, direction
        The weights at scale 0, and what is added to them at scale 1.
    """

    def ends(scale: float) -> bool:
        write(scale)
        return reach.is_forgotten(model) or not reach.holds(model)

    length = float(direction.norm())
    write(0.0)
    if not (0 < length < math.inf):
        run.note("there is nothing to move the weights by: they stay as they are")
        return 0.0
    if reach.is_forgotten(model):
        run.note(ALREADY)
        return 0.0
    unit = float(weights.norm()) / length
    low, high = 0.0, FIRST * unit
    while not (over := ends(high)) and high < LAST * unit:
        low, high = high, high * GROWTH
    if not over:
        run.note(
            f"even a step of {LAST:,.0f} times the weights' length left the forget set better "
            "known than unseen images are"
        )
        return high
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high) if low else high / GROWTH
        low, high = (low, middle) if ends(middle) else (middle, high)
    write(high)
    if reach.holds(model):
        return high
    write(low)
    if reach.until_forgotten:
        run.note(reach.shortfall())
    return low
