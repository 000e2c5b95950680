"""RMIA: whether training made a network surer of a sample than of others that it never saw.

How sure a network is of a sample is put in proportion to how sure reference networks are of it,
and that is compared with the same proportion of many samples of a population, pair by pair.

References
----------
Zarifzadeh, Liu & Shokri (2024), Low-Cost High-Power Membership Inference Attacks, ICML (the
online attack, with the plain softmax).
"""

from __future__ import annotations

import numpy as np

from mu.evaluation.attacks.rates import Scores

GAMMA = 1.0  # the paper takes 2, by which few samples are ahead where a network fits its data
TIE = 1e-9  # in logs: so near, two ratios are equal, however they were rounded


def rmia(
    target: Scores,
    references: Scores,
    population: Scores,
    population_references: Scores,
    *,
    gamma: float = GAMMA,
) -> Scores:
    """Share of the population that each sample dominates (0-1); high for what looks trained on.

    With ``ratio = p(network) / mean p(references)``, the share of population samples z with
    ``ratio(x) / ratio(z) >= gamma``. Takes O(n log n). ValueError if shapes differ, the population
    is empty, a value is not finite, or gamma is not positive. The result is of shape (n_samples,).

    Parameters
    ----------
    target, references
        Log-probabilities of the samples' true classes, by the attacked network (n_samples,) and
        by the references (n_references, n_samples): half of them trained on each sample.
    population, population_references
        The same of samples that nobody trained on: (n_population,), (n_references, n_population).
    gamma
        How far a sample has to be ahead.
    """
    if not len(population):
        raise ValueError("the population must have at least one sample")
    if not gamma > 0:
        raise ValueError(f"gamma={gamma}: must be positive")
    own, others = _log_ratio(target, references), _log_ratio(population, population_references)
    least = own - np.log(gamma) + TIE
    ahead_of = np.searchsorted(np.sort(others), least)
    return np.asarray(ahead_of / len(others), float)


def _log_ratio(target: Scores, references: Scores) -> Scores:
    """How much surer a network is than references on average, in logs, of shape (n,)."""
    target, references = np.asarray(target, float), np.asarray(references, float)
    if references.ndim != 2 or not len(references) or target.shape != references.shape[1:]:
        raise ValueError(f"shapes do not fit: {target.shape} and references {references.shape}")
    if not (np.isfinite(target).all() and np.isfinite(references).all()):
        raise ValueError("log-probabilities must be finite numbers")
    average = np.logaddexp.reduce(references, axis=0) - np.log(len(references))
    return np.asarray(target - average, float)
