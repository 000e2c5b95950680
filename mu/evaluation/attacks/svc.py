"""The paper's attack: a support-vector classifier that tells members by a score of their outputs.

The plain classifier compares all pairs of samples. Here equal ones are one row with a weight, which
changes nothing. Where there are very many rows, a one-dimensional score is binned, and for vectors
a few landmarks stand for all others (Nystroem). ``python -m benchmarks.attacks`` compares rates and
times with the plain fit.

Where the evidence is zero, as where members and non-members are the same samples, the classifier
calls everything a member. Its sums are rounded, and the sign of a rounding error is no call; so
evidence within that error is zero.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security; used as in Jia et al. (2023), appendix C.3: C = 3, RBF kernel, gamma ``auto``. Williams &
Seeger (2001), Using the Nystroem Method to Speed Up Kernel Machines, NeurIPS 13.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.svm import SVC, LinearSVC

from mu.data.images import Indices

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]
Evidence = Callable[[Scores], Scores]  # from points (n, n_dimensions) to (n,)

COST = 3.0
MOST_ROWS = 2000  # that the classifier gets as they are
BINS = 600  # of a one-dimensional score with more, for members and non-members each
ROUNDING = 32 * np.finfo(np.float64).eps  # of a sum, in units of the largest that it could be
LANDMARKS, MOST_LANDMARKS = 80, 400  # 3 for each dimension, within these
# Of the linear classifier, whose penalty includes its intercept. Small enough to converge in some
# tens of epochs; what it does to the intercept is undone.
INTERCEPT_SCALING = 0.3
TOLERANCE = 0.05


class ScoreAttack:
    """Predicts from a score, or a vector of them, whether a sample was trained on.

    The order of samples does not matter, and nothing is drawn that could differ between two fits.
    ValueError if the sets are empty or differ in size, or a score is NaN. ``members`` and
    ``non_members``: scores of shape (n,) or (n, n_dimensions), of as many members as non-members.
    """

    def __init__(self, members: Scores, non_members: Scores) -> None:
        if not len(members) or len(members) != len(non_members):
            raise ValueError("the attack needs as many members as non-members, and at least one")
        # Distinct points in order, and how many samples each stands for.
        parts: list[tuple[Scores, Indices]] = [
            np.unique(_as_points(one), axis=0, return_counts=True) for one in (non_members, members)
        ]
        self._rounding = ROUNDING * COST * len(members)
        many = sum(len(points) for points, _ in parts) > MOST_ROWS
        if many and parts[0][0].shape[1] == 1:
            parts, many = [_binned(*one) for one in parts], False
        points, counts = (np.concatenate(pair) for pair in zip(*parts, strict=True))
        is_member = np.repeat([False, True], [len(one) for one, _ in parts])
        if not np.isfinite(points).all():
            raise ValueError("the attack needs scores that are numbers; one is NaN or infinite")
        by_landmarks = many and len(members) * COST * _contrast(points) > 1
        fit = _by_landmarks if by_landmarks else _exact
        self._fit = functools.partial(fit, points, is_member, counts)

    @functools.cached_property
    def _evidence(self) -> Evidence:
        """Fitted when it is needed: of a score that ranks by itself, rates need no classifier."""
        return self._fit()

    def evidence(self, scores: Scores) -> Scores:
        """Of shape (n,): from 0 on for what looks like a member, and the more the surer."""
        found = self._evidence(_as_points(scores))
        return np.where(np.abs(found) <= self._rounding, 0.0, found)

    def is_member(self, scores: Scores) -> Flags:
        """Bool of shape (n,): whether each score looks like a member's.

        SVC calls the first class only what is below 0: where all scores tie, all are members.
        """
        return self.evidence(scores) >= 0


def _as_points(scores: Scores) -> Scores:
    """Of shape (n, n_dimensions)."""
    return scores.reshape(len(scores), -1)


def _binned(points: Scores, counts: Indices) -> tuple[Scores, Indices]:
    """At most :data:`BINS` points: means of the sorted samples, cut into bins of equal counts."""
    if len(points) <= BINS:
        return points, counts
    bins = np.array_split(np.repeat(points, counts, axis=0), BINS)
    return np.stack([one.mean(0) for one in bins]), np.array([len(one) for one in bins])


def _contrast(points: Scores) -> float:
    """At least the largest difference that the kernel makes between two points, 0-1.

    Where it is next to nothing, as of the saturated outputs of a sure network, landmarks would tell
    points apart by rounding, and the classifier itself is done in a step for each row.
    """
    return float(np.square(np.ptp(points, axis=0)).mean())  # gamma is 1 / n_dimensions


def _exact(points: Scores, is_member: Flags, counts: Indices) -> Evidence:
    machine = SVC(C=COST, kernel="rbf", gamma="auto")
    machine.fit(points, is_member, sample_weight=counts)
    return lambda scores: np.asarray(machine.decision_function(scores), float)


def _by_landmarks(points: Scores, is_member: Flags, counts: Indices) -> Evidence:
    """The classifier in the span of a few landmarks, where it is linear.

    Features are centred: their common part is many times as large as what tells them apart, and
    coordinate descent would hardly move. The best intercept for given weights is a median of what
    each sample lacks to its margin (members are as many as non-members); between two that are as
    good it is the middle, as SVC's is.
    """
    dimensions = points.shape[1]
    span = Nystroem(
        kernel="rbf",
        gamma=1 / dimensions,  # "auto"
        n_components=min(max(LANDMARKS, 3 * dimensions), MOST_LANDMARKS),
        random_state=0,
    )
    features = span.fit_transform(points)
    centre = features.mean(0)
    features -= centre
    machine = LinearSVC(
        C=COST,
        loss="hinge",
        tol=TOLERANCE,
        intercept_scaling=INTERCEPT_SCALING,
        random_state=0,
    ).fit(features, is_member, sample_weight=counts)
    lacking = np.where(is_member, 1.0, -1.0) - machine.decision_function(features)
    shift = np.median(np.repeat(lacking, counts))
    return lambda scores: np.asarray(
        machine.decision_function(span.transform(scores) - centre) + shift, float
    )


def shadow_rows(members: int, non_members: int, seed: int) -> tuple[Indices, Indices]:
    """Rows of equally many members and non-members, drawn by ``seed``, sorted."""
    size = min(members, non_members)
    draws = np.random.default_rng([seed, 2])
    return (
        np.sort(draws.permutation(members)[:size]),
        np.sort(draws.permutation(non_members)[:size]),
    )
