"""The confidence attack behind MIA: a support-vector classifier that tells members by confidence.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security; used as in Jia et al. (2023), appendix C.3: C = 3, RBF kernel, gamma ``auto``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from mu.data.images import Indices

Scores = NDArray[np.float64]

# Distinct values that the classifier is fitted on at the most. Its cost grows with their square.
MAX_VALUES = 512


class ScoreAttack:
    """Predicts from a one-dimensional score whether a sample was trained on.

    Many samples share a score (a fitted network's confidences crowd at 1), and a support-vector
    classifier gives the same solution for a value that stands k times and for that value once
    with weight k. So it is fitted on distinct values with weights; where there are more than
    ``max_values`` of them, neighbours are first merged into that many groups of about equal
    size, each at its mean.

    Parameters
    ----------
    members, non_members
        Scores of shape (n,), of as many members as non-members.

    Raises
    ------
    ValueError
        If the sets are empty or differ in size.
    """

    def __init__(
        self, members: Scores, non_members: Scores, *, max_values: int = MAX_VALUES
    ) -> None:
        if not len(members) or len(members) != len(non_members):
            raise ValueError("the attack needs as many members as non-members, and at least one")
        scores = np.concatenate([members, non_members])
        is_member = np.repeat([1, 0], [len(members), len(non_members)])
        values = _merged(scores, max_values)
        pairs, counts = np.unique(np.stack([values, is_member]), axis=1, return_counts=True)
        self._svc = SVC(C=3, gamma="auto", kernel="rbf")
        self._svc.fit(pairs[0][:, None], pairs[1].astype(int), sample_weight=counts)

    def is_member(self, scores: Scores) -> NDArray[np.bool_]:
        """Bool of shape (n,): whether each score looks like a member's."""
        values, back = np.unique(scores, return_inverse=True)
        return np.asarray(self._svc.predict(values[:, None]) == 1)[back]


def _merged(scores: Scores, max_values: int) -> Scores:
    """Scores, replaced by the means of ``max_values`` groups where they take more values."""
    if len(np.unique(scores)) <= max_values:
        return scores
    rank = np.searchsorted(np.sort(scores), scores)  # equal scores share a rank, so a group
    _, group = np.unique(rank * max_values // len(scores), return_inverse=True)
    return (np.bincount(group, weights=scores) / np.bincount(group))[group]


def efficacy(members: Scores, non_members: Scores, forgotten: Scores) -> float:
    """MIA efficacy: share of the forgotten samples called non-members, in percent (0-100)."""
    attack = ScoreAttack(members, non_members)
    return 100.0 * float(1 - attack.is_member(forgotten).mean())


def shadow_rows(members: int, non_members: int, seed: int) -> tuple[Indices, Indices]:
    """Rows of equally many members and non-members, drawn by ``seed``, sorted."""
    size = min(members, non_members)
    draws = np.random.default_rng([seed, 2])
    return (
        np.sort(draws.permutation(members)[:size]),
        np.sort(draws.permutation(non_members)[:size]),
    )
