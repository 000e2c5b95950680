"""Calibration: whether predictions are as often right as they are confident.

References
----------
Guo et al. (2017), On Calibration of Modern Neural Networks, ICML: 15 bins of equal width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mu.evaluation.outputs import Outputs

BINS = 15
Numbers = NDArray[np.float64]


def reliability(outputs: Outputs, bins: int = BINS) -> tuple[Numbers, Numbers, Numbers]:
    """By bins of the confidence in the predicted class: samples, mean confidence, share right.

    Each is of shape (bins,); the last two are 0-1, and 0 where a bin is empty.
    """
    surest = outputs.score("surest").numpy()
    right = outputs.right.numpy()
    place = np.clip(np.ceil(surest * bins).astype(int) - 1, 0, bins - 1)
    counts, sums, hits = (
        np.bincount(place, weights=values, minlength=bins)
        for values in (np.ones(len(place)), surest, right.astype(float))
    )
    filled = np.maximum(counts, 1)
    return counts.astype(float), sums / filled, hits / filled


def ece(outputs: Outputs, bins: int = BINS) -> float:
    """Expected calibration error, in percent (0-100)."""
    counts, confidence, right = reliability(outputs, bins)
    return 100.0 * float((counts * np.abs(confidence - right)).sum() / counts.sum())
