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
    _check(phi, references, seen)
    own = len(references) >= enough
    inside, outside = (_fitted(references, side, own) for side in (seen, ~seen))
    return _log_normal(phi, *inside) - _log_normal(phi, *outside)


def _check(phi: Scores, references: Scores, seen: Seen) -> None:
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


def _fitted(references: Scores, side: Seen, own: bool) -> tuple[Scores, Scores]:
    """Mean and variance of each sample over the references of one side, (n_samples,) each."""
    count = side.sum(0)
    mean = np.where(side, references, 0.0).sum(0) / count
    squares = np.where(side, (references - mean) ** 2, 0.0).sum(0)
    if not own:  # a sample costs one degree of freedom: its mean
        squares = np.full_like(mean, squares.sum())
        count = np.full_like(count, count.sum() - len(count) + 1)
    return mean, np.maximum(squares / np.maximum(count - 1, 1), FLOOR**2)


def _log_normal(values: Scores, mean: Scores, variance: Scores) -> Scores:
    """Log-density of normal distributions, without the constant that all share."""
    return np.asarray(-0.5 * (np.log(variance) + (values - mean) ** 2 / variance), float)
