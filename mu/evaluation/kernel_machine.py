"""A soft-margin support-vector classifier with an RBF kernel, in time that grows with n.

scikit-learn's SVC looks at all pairs of samples. But on the outputs of a classifier the kernel is
smooth, and a few hundred samples span all others to several digits: those that an incomplete
Cholesky factorisation picks, one after the other, each the one that is spanned worst so far. In
their span the problem has as many unknowns, and Newton's method solves it in the primal, the hinge
being made smooth within a width of its corner that goes to zero.

References
----------
Fine & Scheinberg (2001), Efficient SVM Training Using Low-Rank Kernel Representations, JMLR 2.
Chapelle (2007), Training a Support Vector Machine in the Primal, Neural Computation 19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from sklearn.metrics.pairwise import rbf_kernel

Points = NDArray[np.float64]
Vector = NDArray[np.float64]

MOST_LANDMARKS = 400
# Of the smooth corner of the hinge, one after the other; within the first lie all points at first.
WIDTHS = (2.0, 0.4, 0.08, 0.016)
# Points, spread over all, that are enough at all widths but the last: they say where it starts.
ENOUGH_AT_FIRST = 2048
STEPS = 50  # of Newton's method at each width, at the most
DONE = 1e-5  # what a step must promise, relative to the objective, to be worth taking
SHORTEST = 1e-12  # share of a step that is tried
BIAS = 1e-8  # weight of the bias in the norm, which a support-vector classifier leaves free


@dataclass(frozen=True, eq=False)
class KernelMachine:
    """A fitted classifier.

    Parameters
    ----------
    landmarks
        The samples that span all others, (n_landmarks, n_dimensions).
    weights
        Of the kernel with each landmark, (n_landmarks,).
    """

    landmarks: Points
    weights: Vector
    bias: float
    gamma: float

    @classmethod
    def fit(
        cls,
        points: Points,
        is_first: NDArray[np.bool_],
        *,
        cost: float,
        gamma: float,
        tolerance: float,
    ) -> KernelMachine:
        """Minimise ||w||^2 / 2 + cost * (sum of hinge losses), as SVC(kernel="rbf") does.

        Parameters
        ----------
        points
            Of shape (n_points, n_dimensions); their order does not matter, and equal ones are
            looked at once.
        is_first
            Bool of shape (n_points,): the class that evidence above 0 is for.
        gamma
            The kernel of x and z is exp(-gamma ||x - z||^2).
        tolerance
            What may be left of a sample's unit length (squared) once it counts as spanned.
        """
        distinct, place = np.unique(points, axis=0, return_inverse=True)
        kind, counts = np.unique(2 * place.reshape(-1) + is_first, return_counts=True)
        signs = np.where(kind % 2, 1.0, -1.0)
        chosen, features = _spanned(distinct, gamma, tolerance)
        rows = np.column_stack([features.T, np.ones(len(distinct))])[kind // 2]
        found = _minimum(signs[:, None] * rows, cost * counts.astype(float))
        weights = solve_triangular(features[:, chosen], found[:-1])
        return cls(distinct[chosen], weights, float(found[-1]), gamma)

    def evidence(self, points: Points) -> Vector:
        """Of shape (n_points,): above 0 for the first class, and the more the surer."""
        kernel = rbf_kernel(points, self.landmarks, gamma=self.gamma)
        return np.asarray(kernel @ self.weights + self.bias, float)


def _spanned(points: Points, gamma: float, tolerance: float) -> tuple[NDArray[np.int64], Points]:
    """Landmarks, and features whose products are the kernel of all points, as far as they span it.

    Returns
    -------
    chosen, features
        Positions (n_landmarks,), in the order in which they were picked, and (n_landmarks,
        n_points): upper triangular in the columns of ``chosen``.
    """
    most = min(MOST_LANDMARKS, len(points))
    features = np.empty((most, len(points)))
    left = np.ones(len(points))
    chosen: list[int] = []
    for number in range(most):
        worst = int(left.argmax())
        if left[worst] < tolerance:
            break
        kernel = np.exp(-gamma * ((points - points[worst]) ** 2).sum(1))
        kernel -= features[:number, worst] @ features[:number]
        features[number] = kernel / np.sqrt(left[worst])
        features[number, chosen] = 0.0  # but for rounding
        left -= features[number] ** 2
        left[worst] = 0.0
        chosen.append(worst)
    return np.array(chosen), features[: len(chosen)]


def _minimum(rows: Points, costs: Vector) -> Vector:
    """The weights, the last of them the bias.

    Parameters
    ----------
    rows
        Features times the class's sign, (n_points, n_features + 1).
    costs
        Of a unit of each point's loss, (n_points,).
    """
    penalty = np.ones(rows.shape[1])
    penalty[-1] = BIAS
    weights = np.zeros(rows.shape[1])
    few = slice(None, None, max(1, len(rows) // ENOUGH_AT_FIRST))
    share = costs.sum() / costs[few].sum()
    for width in WIDTHS[:-1]:
        weights = _newton(weights, rows[few], share * costs[few], penalty, width)
    for width in WIDTHS[-1:]:
        weights = _newton(weights, rows, costs, penalty, width)
    return weights


def _newton(weights: Vector, rows: Points, costs: Vector, penalty: Vector, width: float) -> Vector:
    """The minimum at one width, from these weights on."""
    short = 1 - rows @ weights
    for _ in range(STEPS):
        slope, curvature = _derivatives(weights, short, rows, costs, penalty, width)
        step = -cho_solve(cho_factor(curvature), slope)
        before, promise = _objective(weights, short, costs, penalty, width), float(slope @ step)
        if -promise < DONE * before:
            break
        change, length = rows @ step, 1.0
        while length > SHORTEST:
            moved, left = weights + length * step, short - length * change
            reached = _objective(moved, left, costs, penalty, width)
            if reached <= before + 1e-4 * length * promise:
                break
            length /= 2
        else:
            break
        weights, short = moved, left
    return weights


def _objective(
    weights: Vector, short: Vector, costs: Vector, penalty: Vector, width: float
) -> float:
    """The norm and the losses of points that fall short of the margin by ``short``."""
    corner = np.clip(short + width, 0, None) ** 2 / (4 * width)
    losses = np.where(short < width, corner, short)
    return float(0.5 * penalty @ weights**2 + costs @ losses)


def _derivatives(
    weights: Vector, short: Vector, rows: Points, costs: Vector, penalty: Vector, width: float
) -> tuple[Vector, Points]:
    """Gradient and Hessian."""
    slopes = np.clip((short + width) / (2 * width), 0, 1)
    corner = np.abs(short) < width
    curved = rows[corner]
    curved *= np.sqrt(costs[corner] / (2 * width))[:, None]
    gradient = penalty * weights - (costs * slopes) @ rows
    return gradient, np.diag(penalty) + curved.T @ curved
