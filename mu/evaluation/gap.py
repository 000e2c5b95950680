"""The gap to the oracle: how far a model's four numbers are from Retrain's."""

from __future__ import annotations

from collections.abc import Mapping

GAP_METRICS = ("UA", "RA", "TA", "MIA")


def gaps(metrics: Mapping[str, float], oracle: Mapping[str, float]) -> dict[str, float]:
    """Absolute differences to the oracle, in points, and their mean.

    Returns
    -------
    dict
        ``gap_UA``, ``gap_RA``, ``gap_TA``, ``gap_MIA`` and ``gap``: the mean of the four, the
        paper's disparity.

    Raises
    ------
    KeyError
        If one of the four is missing on either side.
    """
    parts = {f"gap_{name}": abs(metrics[name] - oracle[name]) for name in GAP_METRICS}
    return {**parts, "gap": sum(parts.values()) / len(parts)}
