"""Statistics over seeds: what a handful of runs says of a method, and of two methods.

References
----------
Student (1908), The Probable Error of a Mean, Biometrika 6(1); Wilcoxon (1945), Individual
Comparisons by Ranking Methods, Biometrics Bulletin 1(6); Efron & Tibshirani (1993), An
Introduction to the Bootstrap, chapter 13, for percentile intervals; Fisher (1935), The Design of
Experiments, section 21, on drawing the signs of differences at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]

LEVEL = 0.95  # of intervals; tests are at 1 - LEVEL
RESAMPLES = 9999
FEWEST_FOR_RANKS = 6  # of fewer pairs no result of the signed-rank test is below 5 %
ROUNDING = 12  # digits that differences are compared to, relative to the values


@dataclass(frozen=True)
class Summary:
    """Some values of one quantity, a value for each seed; of one alone nothing but the mean."""

    count: int
    mean: float
    sd: float | None  # sample standard deviation (of ``count - 1``)
    low: float | None  # ends of the 95 % interval of the mean
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """Two methods over the same seeds."""

    count: int  # pairs
    difference: float  # mean of ours - theirs
    # low, high: ends of its 95 % t interval; None where all differences are the same, which leaves
    # no spread to make one of.
    low: float | None
    high: float | None
    # Of the paired t test, two-sided. Where all differences are the same, that of the exact test by
    # signs, 2 ** (1 - count): a t test would call two equal differences certain, though accuracies
    # of few samples agree by chance. 1 where there is no difference at all.
    p: float
    # Of Wilcoxon's signed-rank test, two-sided and exact, with ties too; None where fewer than 6
    # differences are other than zero.
    p_ranks: float | None

    @property
    def differs(self) -> bool:
        """Whether the methods differ, at 5 %. Not to differ is not shown to be equal."""
        return self.p < 1 - LEVEL


def summarise(values: Sequence[float], *, bootstrap: bool = False, seed: int = 0) -> Summary:
    """Count, mean, standard deviation and the 95 % interval of the mean.

    ValueError if there are no values, or one is not finite.

    Parameters
    ----------
    values
        One for each seed; independent of each other.
    bootstrap
        Whether the interval is the percentile interval of the bootstrap in place of Student's t.
        It assumes no normal values, but is too narrow of few: of 5 it holds the mean about 4
        times in 5, and it never leaves the range of the values.
    seed
        Of the bootstrap.
    """
    sample = _checked(values)
    count, mean = len(sample), float(sample.mean())
    if count == 1:
        return Summary(1, mean, None, None, None)
    if np.ptp(sample) == 0:  # a mean of equal values may differ from them in the last digit
        same = float(sample[0])
        return Summary(count, same, 0.0, same, same)
    sd = float(sample.std(ddof=1))
    low, high = _bootstrap_interval(sample, seed) if bootstrap else _t_interval(mean, sd, count)
    return Summary(count, mean, sd, low, high)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Comparison:
    """Compare two methods over the same seeds, pair by pair.

    The tests are of one quantity. Of several at 5 % each, one in twenty differs by chance.
    ValueError if there are fewer than 2 pairs, the two differ in length, or a value is not finite.
    ``ours`` and ``theirs``: a value for each seed, in the same order.
    """
    one, other = _checked(ours), _checked(theirs)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} values cannot be paired with {len(other)}")
    if len(one) < 2:
        raise ValueError("a comparison needs at least 2 pairs")
    # In units of the largest value, whose squares neither vanish nor overflow.
    unit = float(np.abs([one, other]).max()) or 1.0
    # Without the last digits, so that equal differences are equal: 95.2 - 94.2 is 1.
    differences = np.round((one - other) / unit, ROUNDING)
    count, p_ranks = len(differences), _signed_rank_p(differences)
    if np.ptp(differences) == 0:
        p = 2.0 ** (1 - count) if differences[0] else 1.0
        return Comparison(count, unit * float(differences[0]), None, None, p, p_ranks)
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    low, high = _t_interval(mean, sd, count)
    p = 2 * float(stats.t.sf(abs(mean) / (sd / math.sqrt(count)), count - 1))
    return Comparison(count, unit * mean, unit * low, unit * high, p, p_ranks)


def prediction_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Where one more value lies with 95 %, by Student's t; None twice of a single value, or none.

    ValueError if one is not finite.
    """
    if len(values) < 2:
        return None, None
    sample = _checked(values)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1)) * float(sample.std(ddof=1))
    half *= math.sqrt(1 + 1 / len(sample))
    return float(sample.mean()) - half, float(sample.mean()) + half


def _checked(values: Sequence[float]) -> Values:
    sample = np.asarray(values, np.float64)
    if not len(sample):
        raise ValueError("statistics need at least one value")
    if not np.isfinite(sample).all():
        raise ValueError("statistics need finite values")
    return sample


def _t_interval(mean: float, sd: float, count: int) -> tuple[float, float]:
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * sd / math.sqrt(count)
    return mean - half, mean + half


def _bootstrap_interval(sample: Values, seed: int) -> tuple[float, float]:
    found = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng([seed, 4]),
    ).confidence_interval
    return float(found.low), float(found.high)


def _signed_rank_p(differences: Values) -> float | None:
    """Exact two-sided p of the signed-rank test, zeros left out.

    SciPy's exact distribution holds without ties only, and metrics in percent of few samples
    have many; so the signs are summed over here. Ranks are doubled, which makes middle ranks
    whole numbers.
    """
    given = differences[differences != 0]
    if len(given) < FEWEST_FOR_RANKS:
        return None
    ranks = np.rint(2 * stats.rankdata(np.abs(given))).astype(int)
    chance = np.zeros(ranks.sum() + 1)  # of each sum of the positive ranks
    chance[0] = 1.0
    for rank in ranks:
        chance = 0.5 * chance
        chance[rank:] += chance[:-rank]  # NumPy reads all of it before it writes
    positive = int(ranks[given > 0].sum())
    tails = chance[: positive + 1].sum(), chance[positive:].sum()
    return min(1.0, 2 * float(min(tails)))
