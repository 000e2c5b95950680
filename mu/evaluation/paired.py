"""The difference of two accuracies on the same samples, with its interval.

References
----------
Newcombe (1998), Improved Confidence Intervals for the Difference between Binomial Proportions Based
on Paired Data, Statistics in Medicine 17, method 10; Wilson (1927) for the single shares.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from mu.evaluation.outputs import Outputs
from mu.evaluation.statistics import LEVEL


class Difference(NamedTuple):
    """A difference of accuracies, in points, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def accuracy_difference(ours: Outputs, theirs: Outputs) -> Difference:
    """Ours - theirs, of the same samples.

    The interval says how far it would move with other samples of the same kind; samples that both
    get right, or wrong, make it narrower. It has a width even where the models never differ, which
    a bootstrap would not have. Other seeds are another question. ValueError if the samples are not
    the same ones.
    """
    if not np.array_equal(ours.labels.numpy(), theirs.labels.numpy()):
        raise ValueError("accuracies can be paired on the same samples only")
    one, other = (np.asarray((m.predictions == m.labels).numpy()) for m in (ours, theirs))
    counts = np.bincount(2 * one + other, minlength=4).tolist()
    neither, only_theirs, only_ours, both = counts
    low, high = paired_interval(both, only_ours, only_theirs, neither)
    return Difference(100 * (only_ours - only_theirs) / len(ours), 100 * low, 100 * high)


def paired_interval(
    both: int, only_ours: int, only_theirs: int, neither: int
) -> tuple[float, float]:
    """Ends of the 95 % interval of the difference of two shares (-1 to 1) by paired counts."""
    count = both + only_ours + only_theirs + neither
    ours, theirs = both + only_ours, both + only_theirs
    phi, sides = 0.0, ours * (count - ours) * theirs * (count - theirs)
    if sides:  # how right answers go together, with Newcombe's correction for continuity
        excess: float = both * neither - only_ours * only_theirs
        phi = (max(0.0, excess - count / 2) if excess > 0 else excess) / math.sqrt(sides)
    p, q = ours / count, theirs / count
    (p_low, p_high), (q_low, q_high) = (
        stats.binomtest(right, count).proportion_ci(LEVEL, method="wilson")
        for right in (ours, theirs)
    )
    below = _added(p - p_low, q_high - q, phi)
    above = _added(p_high - p, q - q_low, phi)
    return p - q - below, p - q + above


def _added(one: float, other: float, phi: float) -> float:
    """Length of the difference of two steps whose errors correlate by ``phi``."""
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))
