"""The search of the scale of a step, by the rule of :mod:`mu.methods.stopping`."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from mu.fisher.free import FreeWeights
from mu.methods.steps.criterion import ALREADY, Standing, StopCriterion
from mu.runs import Run

# Steps relative to the weights' norm, their growth, and how finely.
FIRST, LAST = 1e-3, 1e3
GROWTH = 4.0
HALVINGS = 5
MOST_HALVINGS = 12  # as long as every scale that forgets enough forgets too much
TOO_FAR = (
    f"even a step of {LAST:,.0f} times the weights' length left the forget set better known than "
    "unseen images are"
)


def move(
    free: FreeWeights,
    model: nn.Module,
    direction: Tensor,
    alpha: StopCriterion | float,
    run: Run,
) -> None:
    """Add ``alpha * direction`` to the free weights of ``model``; alpha is logged.

    ``direction``: of shape (free weights,). ``alpha``: the scale, or the rule that finds it.
    """
    weights = free.now()

    def write(scale: float) -> None:
        free.write(weights + scale * direction)

    if isinstance(alpha, StopCriterion):
        alpha = farthest(alpha, model, write, weights, direction, run)
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
    """The scale at which the forget set is forgotten and no more, or the best that is affordable.

    It is bracketed by powers of :data:`GROWTH` and then narrowed down. Of all scales that were
    tried, 0 among them, the one that the criterion ranks first is taken. ``write``: sets the
    weights of ``model`` to those of a scale. ``weights`` and ``direction``: the weights at scale 0,
    and what is added to them at scale 1.
    """
    length = float(direction.norm())
    if not (0 < length < math.inf):
        run.note("there is nothing to move the weights by: they stay as they are")
        return 0.0
    return best_scale(criterion, model, write, float(weights.norm()) / length, run)


def best_scale(
    criterion: StopCriterion,
    model: nn.Module,
    write: Callable[[float], None],
    unit: float,
    run: Run,
) -> float:
    """What :func:`farthest` finds, between :data:`FIRST` and :data:`LAST` times ``unit``."""
    tried: dict[float, Standing] = {}

    def ends(scale: float) -> bool:
        write(scale)
        tried[scale] = found = criterion.standing(model)
        return found.is_forgotten or not criterion.affords(found)

    ends(0.0)
    run.log("excess_before", tried[0.0].excess)
    if tried[0.0].excess <= criterion.chance:
        run.note(ALREADY)
        return 0.0
    low, high = 0.0, FIRST * unit
    while not (over := ends(high)) and high < LAST * unit:
        low, high = high, high * GROWTH
    for number in range(MOST_HALVINGS if over else 0):
        if number >= HALVINGS and not (criterion.affords(tried[high]) and tried[high].overshot):
            break
        middle = math.sqrt(low * high) if low else high / GROWTH
        low, high = (low, middle) if ends(middle) else (middle, high)
    best = min(tried, key=lambda scale: (*criterion.rank(tried[scale]), scale))
    run.log("excess", tried[best].excess)
    if not tried[best].is_forgotten:
        run.note(criterion.shortfall() if over else TOO_FAR)
    return best
