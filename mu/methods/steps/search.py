"""The search of the scale of a step, by the rule of :mod:`mu.methods.step_size_search`."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from mu.fisher.free import FreeWeights
from mu.methods.steps.criterion import ALREADY, StopCriterion
from mu.runs import Run

# Steps relative to the weights' norm, their growth, and how finely.
FIRST, LAST = 1e-3, 1e3
GROWTH = 4.0
HALVINGS = 5


def move(
    free: FreeWeights,
    model: nn.Module,
    direction: Tensor,
    alpha: float | StopCriterion,
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

    if isinstance(alpha, StopCriterion):
        alpha = farthest(alpha, model, write, weights, direction, run)
    else:
        write(alpha)
    run.log("alpha", alpha)


def farthest(
    criterion: StopCriterion,
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
        return criterion.is_forgotten(model) or not criterion.holds(model)

    length = float(direction.norm())
    write(0.0)
    if not (0 < length < math.inf):
        run.note("there is nothing to move the weights by: they stay as they are")
        return 0.0
    if criterion.is_forgotten(model):
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
    if criterion.holds(model):
        return high
    write(low)
    if criterion.until_forgotten:
        run.note(criterion.shortfall())
    return low
