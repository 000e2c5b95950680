"""Memorisation: how much likelier a network is right about a sample if it was trained on it.

References
----------
Feldman (2020), Does Learning Require Memorization? A Short Tale about a Long Tail, STOC, for the
definition. Feldman & Zhang (2020), What Neural Networks Memorize and Why: Discovering the Long Tail
via Influence Estimation, NeurIPS, for the estimate from networks that are each trained on a random
part of the samples. Agresti & Caffo (2000), Simple and Effective Confidence Intervals for
Proportions and Differences of Proportions, The American Statistician 54(4), for its error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mu.evaluation.attacks.likelihood import Seen
from mu.evaluation.attacks.rates import Scores
from mu.evaluation.statistics import Summary, summarise

Right = NDArray[np.bool_]


def memorisation(right: Right, seen: Seen) -> tuple[Scores, Scores]:
    """``P(right | trained on it) - P(right | not)`` of each sample, and its standard error.

    Both of shape (n_samples,); the first from -1 to 1. Its error is that of a difference of shares
    to which one success and one failure were added on either side: of few references that agree, it
    would else be 0. ValueError if a sample was seen by all references, or by none. ``right``: which
    reference gives which sample its label, bool of shape (n_references, n_samples). ``seen``: which
    reference trained on which sample, of the same shape.
    """
    if (seen.all(0) | ~seen.any(0)).any():
        raise ValueError("each sample needs a reference that saw it and one that did not")
    sides = [(np.sum(right & side, 0), side.sum(0)) for side in (seen, ~seen)]
    inside, outside = (found / count for found, count in sides)
    variance = np.zeros(seen.shape[1])
    for found, count in sides:
        share = (found + 1) / (count + 2)
        variance += share * (1 - share) / (count + 2)
    return np.asarray(inside - outside, float), np.sqrt(variance)


def mean_memorisation(right: Right, seen: Seen) -> Summary:
    """The mean over the samples, with its 95 % interval over pairs of references.

    Of each pair one saw a sample and the other did not, so a pair gives a mean of its own; they are
    independent of each other. Of one pair there is no interval.
    """
    first, second = right[::2].astype(float), right[1::2].astype(float)
    differences = np.where(seen[::2], first - second, second - first)
    return summarise(differences.mean(1).tolist())


def most_memorised(right: Right, margins: Scores, seen: Seen) -> NDArray[np.int64]:
    """The places of the samples, the most memorised first.

    Of few references many are memorised alike: of these, the samples of which training changes the
    log-odds of the true class (``margins``) most come first.
    """
    found, _ = memorisation(right, seen)
    inside, outside = (np.where(one, margins, 0.0).sum(0) / one.sum(0) for one in (seen, ~seen))
    return np.lexsort((-(inside - outside), -found))
