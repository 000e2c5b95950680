"""Which records show best what a network still knows, and what unlearning changed elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mu.data.images import Indices

Numbers = NDArray[np.float64]


def best_known(margins: Numbers, most: int, spaced: int) -> Indices:
    """Places of some records, the best known first.

    All of them where they are at most ``most + spaced``; else the ``most`` best known, and
    ``spaced`` at even distances among the others. ``margins``: log-odds of their labels, (n,).
    """
    order = np.argsort(-margins, kind="stable")
    if len(order) <= most + spaced:
        return order
    others = np.linspace(most, len(order) - 1, spaced).round().astype(int)
    return np.concatenate([order[:most], order[others]])


def most_changed(before: Numbers, after: Numbers, most: int) -> Indices:
    """Places of the records whose confidence changed most, either way; only those that changed.

    ``before``, ``after``: probability of their labels in the two models, (n,).
    """
    change = np.abs(after - before)
    order = np.argsort(-change, kind="stable")[:most]
    return order[change[order] > 0]


def as_sure(margins: Numbers, others: Numbers) -> Numbers:
    """Of how many of the others (percent) the network is at least as sure as of each record."""
    above = len(others) - np.searchsorted(np.sort(others), margins, side="left")
    return np.asarray(100.0 * above / len(others), float)
