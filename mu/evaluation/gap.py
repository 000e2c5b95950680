"""How far a model's numbers are from its oracle's: the gap, and the tug-of-war score.

References
----------
Jia et al. (2023) for the gap, their disparity. Zhao, Kurmanji, Barbulescu, Triantafillou &
Triantafillou (2024), What Makes Unlearning Hard and What to Do About It, NeurIPS, arXiv:2406.01257,
for the tug of war.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations

GAP_METRICS = ("UA", "RA", "TA", "MIA")


def gaps(metrics: Mapping[str, float], oracle: Mapping[str, float]) -> dict[str, float]:
    """Absolute differences to the oracle, in points, and their mean.

    KeyError if one of the four is missing on either side. Gives ``gap_UA``, ``gap_RA``, ``gap_TA``,
    ``gap_MIA`` and ``gap``: the mean of the four.
    """
    parts = {f"gap_{name}": abs(metrics[name] - oracle[name]) for name in GAP_METRICS}
    return {**parts, "gap": sum(parts.values()) / len(parts)}


def gaps_between(models: Iterable[Mapping[str, float]]) -> list[float]:
    """The gap of each pair of some models, in points; those that lack a number are left out."""
    known = [one for one in models if all(name in one for name in GAP_METRICS)]
    return [gaps(one, other)["gap"] for one, other in combinations(known, 2)]


def tow(metrics: Mapping[str, float], oracle: Mapping[str, float]) -> float:
    """Product over UA, RA and TA (percent) of 1 - distance to the oracle's share, 0-1.

    1 is as the oracle in all three. The paper takes the accuracy on the forget set where this
    takes UA, 100 - that accuracy: their differences are the same. KeyError if one of the three is
    missing on either side.
    """
    return math.prod(1.0 - abs(metrics[n] - oracle[n]) / 100.0 for n in ("UA", "RA", "TA"))
