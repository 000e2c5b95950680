"""LiRA: how much likelier a network's answer is if it trained on a sample than if it did not.

Each sample is its own measure: reference networks that trained on it and others that did not show
what a network says of it in either case. U-LiRA is the same attack with references that had the
sample and unlearned it.

References
----------
Carlini et al. (2022), Membership Inference Attacks From First Principles, S&P (the online attack,
one query a sample). Hayes et al. (2024), Inexact Unlearning Needs More Careful Evaluations to
Avoid a False Sense of Privacy, on U-LiRA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mu.evaluation.attacks.rates import Scores

Seen = NDArray[np.bool_]

# References from which on each sample has a variance of its own; the paper's.
ENOUGH = 64
# Least standard deviation of the log-odds. Where all references say the very same of a sample, or
# each side has only one, there is none to estimate; real networks differ by far more than this.
FLOOR = 1e-3


def lira(phi: Scores, references: Scores, seen: Seen, *, enough: int = ENOUGH) -> Scores:
    """Log-likelihood ratio of each sample; high for what looks trained on.

    ``log N(phi; in) - log N(phi; out)``, with normal distributions fitted to the references that
    saw the sample and to those that did not. ValueError if shapes differ, a value is not finite,
    or there is a sample that all references saw, or none. The result is of shape (n_samples,).

    Parameters
    ----------
    phi
        Log-odds of the true class (:func:`mu.evaluation.reductions.margin`) that the attacked
        network gives, of shape (n_samples,). Over many trainings they are close to normal.
    references
        Those that the references give, of shape (n_references, n_samples).
    seen
        Which reference trained on which sample, bool of shape (n_references, n_samples).
    enough
        From so many references on each sample has variances of its own. With fewer, all share
        one variance for in and one for out: that of the deviations from each sample's mean,
        pooled over the samples.
    """
    phi, references = np.asarray(phi, float), np.asarray(references, float)
    seen = np.asarray(seen, bool)
    check(phi, references, seen)
    own = len(references) >= enough
    inside, outside = (fitted(references, side, own=own) for side in (seen, ~seen))
    return inside.log_density(phi) - outside.log_density(phi)


@dataclass(frozen=True, eq=False)
class Normals:
    """A normal distribution for each sample, fitted to the references of one side; (n_samples,)."""

    mean: Scores
    variance: Scores
    count: Scores  # references that the mean is of
    freedom: Scores  # degrees of freedom of the variance; 0 where there was nothing to estimate

    def log_density(self, values: Scores) -> Scores:
        """Without the constant that all normal distributions share."""
        deviations = (values - self.mean) ** 2 / self.variance
        return np.asarray(-0.5 * (np.log(self.variance) + deviations), float)


def check(phi: Scores, references: Scores, seen: Seen) -> None:
    """Refuse with a ValueError what does not fit together, as :func:`lira` says."""
    if references.ndim != 2 or seen.shape != references.shape or phi.shape != seen.shape[1:]:
        raise ValueError(
            f"shapes do not fit: phi {phi.shape}, references {references.shape}, seen {seen.shape}"
        )
    if not (np.isfinite(phi).all() and np.isfinite(references).all()):
        raise ValueError("log-odds must be finite numbers")
    one_sided = seen.all(0) | ~seen.any(0)
    if one_sided.any():
        raise ValueError(
            f"{one_sided.sum()} samples were seen by all references or by none; each needs at "
            "least one that saw it and one that did not"
        )


def fitted(references: Scores, side: Seen, *, own: bool) -> Normals:
    """The distribution of each sample over the references of one side.

    ``own``: whether each sample has a variance of its own; else all share one.
    """
    count = side.sum(0).astype(float)
    mean = np.where(side, references, 0.0).sum(0) / count
    squares = np.where(side, (references - mean) ** 2, 0.0).sum(0)
    freedom = count - 1  # a sample costs one: its mean
    if not own:
        squares = np.full_like(mean, squares.sum())
        freedom = np.full_like(mean, freedom.sum())
    variance = np.maximum(squares / np.maximum(freedom, 1), FLOOR**2)
    return Normals(mean, variance, count, freedom)
