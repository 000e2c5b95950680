"""Single records: at which rate of false positives each is called a member, and how many are.

A record's score is calibrated by its own references: of the networks that did not train on it, so
many would be called members, too, if this one is. So the scores of two records can be compared,
and the worst one says what an average hides.

References
----------
Carlini et al. (2022), Membership Inference Attacks From First Principles, S&P: the one-sided test
of the offline attack, with a normal distribution for each record. Ye et al. (2022), Enhanced
Membership Inference Attacks against Machine Learning Models, CCS: a threshold for each record that
its reference models pass at the rate chosen (attack R). Hahn & Meeker (1991), Statistical
Intervals, on one further value of a normal sample (t), and on the interval of a tail probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from mu.evaluation.attacks.likelihood import ENOUGH, Seen, check, fitted
from mu.evaluation.attacks.rates import LEVEL, Scores, wilson

EXPOSED = 1.0  # percent of false positives up to which a called member counts as exposed
# Below these, 1 % of false positives is not to be told from none: so few references do not show
# how a network that never saw a record answers, and so few non-members not that the rate holds.
FEWEST_REFERENCES = 8
FEWEST_NON_MEMBERS = 100


@dataclass(frozen=True, eq=False)
class Exposure:
    """Rates of false positives in percent, of shape (n_samples,); low for what looks trained on.

    NaN where the references do not show any spread: of two, each sample was left out by one.
    """

    rate: Scores
    low: Scores  # ends of the 95 % interval, from the finite number of references
    high: Scores
    deviations: Scores  # from the mean without the sample, in standard deviations; orders all

    def part(self, rows: slice) -> Exposure:
        """Those of some samples."""
        return Exposure(self.rate[rows], self.low[rows], self.high[rows], self.deviations[rows])

    @property
    def known(self) -> bool:
        """Whether there are rates."""
        return bool(np.isfinite(self.rate).all())

    def exposed(self, limit: float = EXPOSED) -> tuple[float, float, float]:
        """Share of the samples (percent) that are called members at ``limit`` percent; its ends.

        The lower end counts those whose whole interval lies below the limit, the upper end all
        whose interval begins there; it is never narrower than Wilson's interval of a share.
        """
        share, sure, possible = (
            100.0 * float((one <= limit).mean()) for one in (self.rate, self.high, self.low)
        )
        ends = wilson(share, len(self.rate))
        return share, min(sure, ends[0]), max(possible, ends[1])


def exposure(phi: Scores, references: Scores, seen: Seen, *, enough: int = ENOUGH) -> Exposure:
    """How surely each sample is called a member of what a network was trained on.

    Of n references that did not see a sample, with mean m and standard deviation s of its
    log-odds, the rate is the probability that one more such network is at least as sure as the
    network under attack: ``P(T >= (phi - m) / (s sqrt(1 + 1/n)))`` with Student's T. Where all are
    normal, exactly 1 % of samples that were not trained on have a rate of at most 1 %. The
    interval is that of the tail ``P(Z >= (phi - mean) / deviation)``, of which m and s are
    estimates: z is taken as normal with the variance ``1/n + z^2 / (2 freedom)``.

    A network that is less sure than the references never is called one, however unlikely that is.
    Parameters and errors are those of :func:`mu.evaluation.attacks.likelihood.lira`.
    """
    phi, references = np.asarray(phi, float), np.asarray(references, float)
    seen = np.asarray(seen, bool)
    check(phi, references, seen)
    outside = fitted(references, ~seen, own=len(references) >= enough)
    z = (phi - outside.mean) / np.sqrt(outside.variance)
    freedom = np.where(outside.freedom > 0, outside.freedom, np.nan)
    rate = student.sf(z / np.sqrt(1 + 1 / outside.count), freedom)
    error = norm.ppf((1 + LEVEL) / 2) * np.sqrt(1 / outside.count + z**2 / (2 * freedom))
    # Far out, one further value has a heavier tail than the one that is estimated.
    low, high = np.minimum(norm.sf(z + error), rate), np.maximum(norm.sf(z - error), rate)
    return Exposure(100 * rate, 100 * low, 100 * high, z)


def resolved(references: int, non_members: int) -> bool:
    """Whether 1 % of false positives can be told with so many of both."""
    return references >= FEWEST_REFERENCES and non_members >= FEWEST_NON_MEMBERS
