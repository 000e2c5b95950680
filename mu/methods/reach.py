"""How far to go, for methods that have no end of their own.

The right scale of a noise, a step or an ascent spans many orders of magnitude over data sets,
networks and forget sets: on an original that fits its data, gradients and Fisher information
nearly vanish. What the scale is to achieve does not. So by default it follows from a rule, which
looks at the original's own data and at no test image:

- go on until the forget set is recognised no better than images of the same classes that the
  original never saw: its validation part. A class that is forgotten as a whole is not to be
  recognised at all;
- but never so far that the retain set loses more than ``spend`` points of accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mu.data.forget import ForgetSplit
from mu.data.images import Subset
from mu.evaluation.outputs import predict
from mu.fisher.free import FreeWeights
from mu.hyperparameters import setting
from mu.methods.base import Method
from mu.runs import Run

LOOKED_AT = 500  # images of the retain and of the forget set, drawn once
# The search of a scale: steps relative to the weights' norm, their growth, and how finely.
FIRST, LAST = 1e-3, 1e3
GROWTH = 4.0
HALVINGS = 5


@dataclass(frozen=True)
class Reaching(Method):
    """A method whose scale is found by the rule, unless it is given."""

    spend: float = setting(
        1.0,
        help="points of accuracy on the retain set that forgetting may cost, where the scale is "
        "not given",
        above=0.0,
        high=100.0,
    )


class Reach:
    """Tells whether a network has forgotten enough, or has paid too much for it.

    Parameters
    ----------
    model
        The original: what it does on the retain and validation samples is what counts.
    spend
        Points of accuracy on the retain set.
    """

    def __init__(self, model: nn.Module, split: ForgetSplit, run: Run, spend: float) -> None:
        self._run = run
        draws = run.generator("images that tell how far to go")
        self._retain = split.retain_set.drawn(LOOKED_AT, draws)
        self._forget = split.forget_set.drawn(LOOKED_AT, draws)
        self.spend = spend
        self.lowest = self._accuracy(model, self._retain) - spend
        self.wanted = _unseen_accuracy(model, split, run)

    def holds(self, model: nn.Module) -> bool:
        """Whether the retain set has lost no more than is to be spent."""
        return self._accuracy(model, self._retain) >= self.lowest

    def is_forgotten(self, model: nn.Module) -> bool:
        """Whether the forget set is recognised no better than unseen images."""
        return self._accuracy(model, self._forget) <= self.wanted

    def shortfall(self, limit: str = "") -> str:
        """What to say where the end came before the forget set was forgotten."""
        or_limit = f", or after {limit}," if limit else ""
        return (
            f"the retain set would have lost more than {self.spend:g} points (spend){or_limit} "
            "before the forget set was forgotten as unseen images are; this is as far as it went"
        )

    def _accuracy(self, model: nn.Module, subset: Subset) -> float:
        """Percent; 0 where a network has weights or outputs that are no numbers."""
        self._run.samples_seen += len(subset)
        outputs = predict(model, subset, self._run)
        return outputs.accuracy() if bool(torch.isfinite(outputs.logits).all()) else 0.0


def _unseen_accuracy(model: nn.Module, split: ForgetSplit, run: Run) -> float:
    """Accuracy on validation samples, the classes weighted as in the forget set; in percent.

    Classes of which there are none are left out. Where nothing is left, 0.
    """
    labels = split.forget_set.labels.numpy()
    unseen = split.val_set
    found = dict(zip(*np.unique(unseen.labels.numpy(), return_counts=True), strict=True))
    kept = [int(one) for one in np.unique(labels) if one not in split.forgotten_classes]
    kept = [one for one in kept if found.get(one)]
    if not kept or set(split.forgotten_classes) >= set(labels.tolist()):
        return 0.0
    outputs = predict(model, unseen, run)
    right = (outputs.predictions == outputs.labels).double()
    run.samples_seen += len(unseen)
    shares = {one: float((labels == one).mean()) for one in kept}
    of_class = {one: float(right[outputs.labels == one].mean()) for one in kept}
    gone = float(np.isin(labels, split.forgotten_classes).mean())
    seen = sum(shares[one] * of_class[one] for one in kept) / sum(shares.values())
    return 100.0 * (1 - gone) * seen


def move(
    free: FreeWeights,
    model: nn.Module,
    direction: Tensor,
    alpha: float | Reach,
    run: Run,
    *,
    until_forgotten: bool = True,
) -> None:
    """Add ``alpha * direction`` to the free weights of ``model``; alpha is logged.

    Parameters
    ----------
    direction
        Of shape (free weights,).
    alpha
        The scale, or by what the rule finds it.
    until_forgotten
        See :func:`farthest`.
    """
    weights = free.now()

    def write(scale: float) -> None:
        free.write(weights + scale * direction)

    if isinstance(alpha, Reach):
        alpha = farthest(
            alpha, model, write, weights, direction, run, until_forgotten=until_forgotten
        )
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
    *,
    until_forgotten: bool = True,
) -> float:
    """The scale at which enough is forgotten, or else the largest that the retain set can afford.

    It is bracketed by powers of :data:`GROWTH` and then narrowed down.

    Parameters
    ----------
    write
        Sets the weights of ``model`` to those of a scale. They are left at the scale returned.
    weights, direction
        The weights at scale 0, and what is added to them at scale 1.
    until_forgotten
        Whether forgetting enough is an end; without it, only the retain set sets one.
    """

    def ends(scale: float) -> bool:
        write(scale)
        return (until_forgotten and reach.is_forgotten(model)) or not reach.holds(model)

    length = float(direction.norm())
    if not (0 < length < math.inf):
        run.note("there is nothing to move the weights by: they stay as they are")
        write(0.0)
        return 0.0
    unit = float(weights.norm()) / length
    low, high = 0.0, FIRST * unit
    while not (over := ends(high)) and high < LAST * unit:
        low, high = high, high * GROWTH
    if not over:
        run.note(reach.shortfall(f"a step of {LAST:,.0f} times the weights' length"))
        return high
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high) if low else high / GROWTH
        low, high = (low, middle) if ends(middle) else (middle, high)
    write(high)
    if reach.holds(model):
        return high
    write(low)
    if until_forgotten:
        run.note(reach.shortfall())
    return low
