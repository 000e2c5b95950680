"""A model beside its oracle on the same samples: gap with its interval, divergences, tug of war."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mu.evaluation import PARTS
from mu.evaluation.attacks.rates import LEVEL
from mu.evaluation.distance.divergence import divergences
from mu.evaluation.gap import gaps, tow
from mu.evaluation.membership import MAIN, called_members
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.unlearning import measure

RESAMPLES = 2000

Numbers = NDArray[np.float64]


def compare(ours: SplitOutputs, oracle: SplitOutputs, *, seed: int) -> dict[str, float]:
    """Everything that tells a model from its oracle by their outputs.

    Gives ``gap``, ``gap_UA``, ...; ``gap_lo`` and ``gap_hi``; ``agreement_…``; ``tow``; and
    ``js_…`` of the parts that have logits. ``seed``: the split's: both are attacked with the same
    samples.
    """
    metrics, theirs = (measure(one, seed=seed) for one in (ours, oracle))
    low, high = gap_interval(ours, oracle, seed=seed)
    return {
        **gaps(metrics, theirs),
        "gap_lo": low,
        "gap_hi": high,
        **divergences(ours, oracle),
        "tow": tow(metrics, theirs),
    }


def gap_interval(ours: SplitOutputs, oracle: SplitOutputs, *, seed: int) -> tuple[float, float]:
    """Ends of the 95 % interval of the gap, in points, by bootstrap.

    Samples of each set are drawn again, the same ones for both models, so what both do alike
    cancels. It says how far the gap would move with other samples; what other seeds of training
    and unlearning do is another question (``mu seeds``). An absolute value is never below zero,
    so nor is the interval, even of equal models; theirs is 0 to 0.
    """
    draws = np.random.default_rng([seed, 5])
    pairs = [
        *([getattr(one, part).right.numpy() for one in (ours, oracle)] for part in PARTS),
        [called_members(one, MAIN, seed=seed) for one in (ours, oracle)],
    ]
    gap = np.mean([np.abs(_difference(one, other, draws)) for one, other in pairs], axis=0)
    low, high = np.quantile(gap, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return 100 * float(low), 100 * float(high)


def _difference(
    ours: NDArray[np.bool_], theirs: NDArray[np.bool_], draws: np.random.Generator
) -> Numbers:
    """Differences of the two shares, 0-1, over resamples: (RESAMPLES,).

    Of each sample only the difference counts, which is -1, 0 or 1.
    """
    count = len(ours)
    more, fewer = (ours & ~theirs).sum() / count, (theirs & ~ours).sum() / count
    drawn = draws.multinomial(count, [more, fewer, max(0.0, 1 - more - fewer)], size=RESAMPLES)
    return np.asarray((drawn[:, 0] - drawn[:, 1]) / count, float)
