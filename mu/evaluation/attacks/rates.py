"""How well a score tells members from non-members: AUC, and true positives at few false ones.

References
----------
Carlini et al. (2022), Membership Inference Attacks From First Principles, S&P, on why the rate of
true positives at a low rate of false ones says more than an average. Efron & Tibshirani (1993), An
Introduction to the Bootstrap, chapter 13, for the intervals (percentiles). DeLong, DeLong and
Clarke-Pearson (1988), Comparing the Areas under Two or More Correlated Receiver Operating
Characteristic Curves, Biometrics 44(3), for one without drawing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

Scores = NDArray[np.float64]
Counts = NDArray[np.int64]

RESAMPLES = 200
LEVEL = 0.95
# Rates of false positives by their ending in names. A rate is given only where the non-members can
# show it: of fewer than 1,000, one false positive is more than 0.1 %.
FALSE_POSITIVES = {"tpr_at_1": 0.01, "tpr_at_01": 0.001}


@dataclass(frozen=True, eq=False)
class Curve:
    """Members and non-members by the value of their score, from the highest to the lowest.

    int64 of shape (..., n_values): how many samples of each kind have each value.
    """

    members: Counts
    non_members: Counts

    @classmethod
    def of(cls, members: Scores, non_members: Scores) -> Curve:
        """Count the samples of each distinct score.

        ValueError if one kind has no samples, or a score is NaN or infinite.
        """
        if not len(members) or not len(non_members):
            raise ValueError("rates need at least one member and one non-member")
        scores = np.concatenate([members, non_members])
        if np.isnan(scores).any():
            raise ValueError("scores must be numbers")
        values, place = np.unique(-scores, return_inverse=True)
        cut = len(members)
        return cls(
            *(np.bincount(part, minlength=len(values)) for part in (place[:cut], place[cut:]))
        )

    def resampled(self, count: int, draws: np.random.Generator) -> Curve:
        """``count`` draws with replacement of as many members and non-members, as further rows."""
        return Curve(
            *(
                draws.multinomial(int(part.sum()), part / part.sum(), size=count)
                for part in (self.members, self.non_members)
            )
        )

    def auc(self) -> NDArray[np.float64]:
        """Chance that a member scores higher than a non-member; ties count half."""
        above = np.cumsum(self.members, -1) - 0.5 * self.members
        pairs = self.members.sum(-1) * self.non_members.sum(-1)
        return np.asarray((above * self.non_members).sum(-1) / pairs, float)

    def true_positives(self, false_positives: float) -> NDArray[np.float64]:
        """Largest share of members (percent) above a threshold that so many (0-1) others pass."""
        allowed = np.floor(false_positives * self.non_members.sum(-1, keepdims=True) + 1e-9)
        passes = np.cumsum(self.non_members, -1) <= allowed
        found = np.where(passes, np.cumsum(self.members, -1), 0).max(-1)
        return np.asarray(100.0 * (found / self.members.sum(-1)), float)

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The ROC: rates of false and of true positives (0-1), both starting with 0."""
        rates = (np.cumsum(part) / part.sum() for part in (self.non_members, self.members))
        false, true = (np.concatenate([[0.0], rate]) for rate in rates)
        return false, true


def rates(
    members: Scores, non_members: Scores, *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, float]:
    """AUC (0-1) and true positives (percent) at 1 % and 0.1 % false ones, with intervals.

    Gives ``auc``, ``tpr_at_1``, ``tpr_at_01``, and for each ``_lo`` and ``_hi``: the ends of the 95
    % interval; of the two rates it is never narrower than Wilson's interval of a share.
    ``tpr_at_1`` only from 100 non-members on, ``tpr_at_01`` from 1,000. ``members`` and
    ``non_members``: scores of shape (n,), higher for what looks like a member; the sizes may
    differ. ``seed``: of the bootstrap, which draws members and non-members separately.
    ``resamples``: how often.
    """
    curve = Curve.of(np.asarray(members, float), np.asarray(non_members, float))
    again = curve.resampled(resamples, np.random.default_rng([seed, 3]))
    found = {}
    statistics: dict[str, Callable[[Curve], NDArray[np.float64]]] = {"auc": Curve.auc}
    for name, rate in FALSE_POSITIVES.items():
        if len(non_members) * rate >= 1:
            statistics[name] = partial(Curve.true_positives, false_positives=rate)
    for name, of in statistics.items():
        found[name] = float(of(curve))
        low, high = np.quantile(of(again), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if name != "auc":  # drawn again, none of n stays none
            share = wilson(found[name], len(members))
            low, high = min(low, share[0]), max(high, share[1])
        found |= {f"{name}_lo": float(low), f"{name}_hi": float(high)}
    return found


def auc_interval(members: Scores, non_members: Scores) -> tuple[float, float, float]:
    """AUC and the ends of its 95 % interval, 0-1, without drawing: of many samples, too.

    By DeLong's variance: of each sample's share of samples of the other kind that it is above or
    below. ValueError if one kind has no samples.
    """
    if not len(members) or not len(non_members):
        raise ValueError("rates need at least one member and one non-member")
    above, below = _shares_below(members, non_members), 1 - _shares_below(non_members, members)
    auc = float(above.mean())
    half = norm.ppf((1 + LEVEL) / 2) * np.sqrt(above.var() / len(above) + below.var() / len(below))
    return auc, max(0.0, auc - float(half)), min(1.0, auc + float(half))


def _shares_below(scores: Scores, others: Scores) -> Scores:
    """For each score the share of the others that are lower, ties by half; (n_scores,)."""
    ordered = np.sort(others)
    places = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.asarray(places / (2 * len(ordered)), float)


def wilson(percent: float, count: int) -> tuple[float, float]:
    """Ends of the 95 % interval of a share of ``count`` samples, in percent (Wilson)."""
    share = binomtest(round(percent * count / 100), count).proportion_ci(LEVEL, "wilson")
    return 100 * float(share.low), 100 * float(share.high)
