"""The paper's attack: a support-vector classifier that tells members by a score of their outputs.

The plain classifier compares all pairs of samples. Here it gets fewer rows, with weights; or, for
vectors, a few landmarks stand for all others (Nystroem). ``python -m benchmarks.attacks`` compares
rates and times with the plain fit.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security; used as in Jia et al. (2023), appendix C.3: C = 3, RBF kernel, gamma ``auto``. Williams &
Seeger (2001), Using the Nystroem Method to Speed Up Kernel Machines, NeurIPS 13.
"""

from __future__ import annotations

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
BINS = 600  # of a one-dimensional score, for members and non-members each
LANDMARKS, MOST_LANDMARKS = 80, 400  # 3 for each dimension, within these
# Of the linear classifier, whose penalty includes its intercept. Small enough to converge in some
# tens of epochs; what it does to the intercept is undone.
INTERCEPT_SCALING = 0.3
TOLERANCE = 0.05


class ScoreAttack:
    """Predicts from a score, or a vector of them, whether a sample was trained on.

    The order of samples does not matter, and nothing is drawn that could differ between two fits.
    ValueError if the sets are empty or differ in size, or a score is NaN.

    Parameters
    ----------
    members, non_members
        Scores of shape (n,) or (n, n_dimensions), of as many members as non-members.
    """

    def __init__(self, members: Scores, non_members: Scores) -> None:
        if not len(members) or len(members) != len(non_members):
            raise ValueError("the attack needs as many members as non-members, and at least one")
        others, inside = (_condensed(_as_points(one)) for one in (non_members, members))
        points, counts = (np.concatenate(pair) for pair in zip(others, inside, strict=True))
        is_member = np.repeat([False, True], [len(others[0]), len(inside[0])])
        fit = _exact if len(points) <= 2 * BINS else _by_landmarks
        self._evidence = fit(points, is_member, counts)

    def evidence(self, scores: Scores) -> Scores:
        """Of shape (n,): from 0 on for what looks like a member, and the more the surer."""
        return self._evidence(_as_points(scores))

    def is_member(self, scores: Scores) -> Flags:
        """Bool of shape (n,): whether each score looks like a member's.

        SVC calls the first class only what is below 0: where all scores tie, all are members.
        """
        return self.evidence(scores) >= 0


def _as_points(scores: Scores) -> Scores:
    """Of shape (n, n_dimensions)."""
    return scores.reshape(len(scores), -1)


def _condensed(points: Scores) -> tuple[Scores, Indices]:
    """Distinct points in order, and how many samples each stands for.

    Where a one-dimensional score has more than ``BINS`` distinct values, the sorted samples are cut
    into as many bins of equal counts, and their means are taken.
    """
    distinct, counts = np.unique(points, axis=0, return_counts=True)
    if points.shape[1] > 1 or len(distinct) <= BINS:
        return distinct, counts
    bins = np.array_split(np.sort(points, axis=0), BINS)
    return np.stack([one.mean(0) for one in bins]), np.array([len(one) for one in bins])


def _exact(points: Scores, is_member: Flags, counts: Indices) -> Evidence:
    """The classifier on all points."""
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
