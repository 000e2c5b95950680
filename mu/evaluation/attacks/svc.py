"""The paper's attack: a support-vector classifier that tells members by a score of their outputs.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security; used as in Jia et al. (2023), appendix C.3: C = 3, RBF kernel, gamma ``auto``. It gives
the predictions of scikit-learn's SVC (``python -m benchmarks.attacks``), many times
faster.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mu.data.images import Indices
from mu.evaluation.kernel_machine import KernelMachine

Scores = NDArray[np.float64]

COST = 3.0
# How well the kernel is spanned. A single score takes few landmarks; a vector takes a hundred, and
# with every digit more its cost grows, but hardly its rates change.
TOLERANCE = 1e-7
TOLERANCE_OF_VECTORS = 1e-5


class ScoreAttack:
    """Predicts from a score, or a vector of them, whether a sample was trained on.

    Parameters
    ----------
    members, non_members
        Scores of shape (n,) or (n, n_dimensions), of as many members as non-members.

    Raises
    ------
    ValueError
        If the sets are empty or differ in size.
    """

    def __init__(self, members: Scores, non_members: Scores) -> None:
        if not len(members) or len(members) != len(non_members):
            raise ValueError("the attack needs as many members as non-members, and at least one")
        points = _as_points(np.concatenate([members, non_members]))
        is_member = np.repeat([True, False], [len(members), len(non_members)])
        gamma = 1 / points.shape[1]  # scikit-learn's "auto"
        tolerance = TOLERANCE if points.shape[1] == 1 else TOLERANCE_OF_VECTORS
        self._machine = KernelMachine.fit(
            points, is_member, cost=COST, gamma=gamma, tolerance=tolerance
        )

    def evidence(self, scores: Scores) -> Scores:
        """Of shape (n,): above 0 for what looks like a member, and the more the surer."""
        return self._machine.evidence(_as_points(scores))

    def is_member(self, scores: Scores) -> NDArray[np.bool_]:
        """Bool of shape (n,): whether each score looks like a member's."""
        return self.evidence(scores) > 0


def _as_points(scores: Scores) -> Scores:
    """Of shape (n, n_dimensions)."""
    return scores.reshape(len(scores), -1)


def shadow_rows(members: int, non_members: int, seed: int) -> tuple[Indices, Indices]:
    """Rows of equally many members and non-members, drawn by ``seed``, sorted."""
    size = min(members, non_members)
    draws = np.random.default_rng([seed, 2])
    return (
        np.sort(draws.permutation(members)[:size]),
        np.sort(draws.permutation(non_members)[:size]),
    )
