"""The tug-of-war score: forgetting, keeping and generalising as the oracle does, in one number.

References
----------
Zhao, Kurmanji, Barbulescu, Triantafillou & Triantafillou (2024), What Makes Unlearning Hard and
What to Do About It, NeurIPS, arXiv:2406.01257.
"""

from __future__ import annotations

from collections.abc import Mapping

METRICS = ("UA", "RA", "TA")


def tow(metrics: Mapping[str, float], oracle: Mapping[str, float]) -> float:
    """(1 - |UA difference|) (1 - |RA difference|) (1 - |TA difference|), as shares.

    The paper takes the accuracy on the forget set where this takes UA, 100 - that accuracy:
    their differences are the same.

    Parameters
    ----------
    metrics, oracle
        With ``UA``, ``RA`` and ``TA``, in percent (0-100).

    Returns
    -------
    float
        0-1; 1 is as the oracle in all three.

    Raises
    ------
    KeyError
        If one of the three is missing on either side.
    """
    score = 1.0
    for name in METRICS:
        score *= 1.0 - abs(metrics[name] - oracle[name]) / 100.0
    return score
