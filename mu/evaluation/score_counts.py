"""Confidences in narrow bins: enough to move an attack's threshold, of however many samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mu.evaluation import PARTS
from mu.evaluation.membership import unseen_of_same_classes
from mu.evaluation.outputs import SplitOutputs

BINS = 240
WIDEST = 30.0  # log-odds; beyond, a probability is not to be told from 0 or 1


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Log-odds of the true class's probability, counted by model and part of the split.

    They rank samples as confidences do, but not all that are near 1 look alike. Beside the parts of
    a split ``unseen`` are the test images of the forget set's classes, where these are others than
    the test set.
    """

    edges: NDArray[np.float64]  # (BINS + 1,), the same for all models
    counts: Mapping[str, Mapping[str, NDArray[np.int64]]]  # by model and part, (BINS,)

    @classmethod
    def of(cls, models: Mapping[str, SplitOutputs]) -> ScoreCounts:
        """Count the samples of all models; ``models``: at least one."""
        scores = {name: _margins(one) for name, one in models.items()}
        values = np.concatenate([part for one in scores.values() for part in one.values()])
        low, high = np.clip([values.min(), values.max()], -WIDEST, WIDEST)
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        counts = {
            name: {part: _counted(part_scores, edges) for part, part_scores in one.items()}
            for name, one in scores.items()
        }
        return cls(edges, counts)

    def place(self, threshold: float) -> int:
        """The edge that is nearest to a threshold, by its place."""
        return int(np.abs(self.edges - threshold).argmin())

    def best(self, model: str) -> int:
        """The edge that tells retain from test samples best, by its place; the lowest of equal."""
        gains = [
            self.called(model, "retain", place) - self.called(model, "test", place)
            for place in range(BINS + 1)
        ]
        return int(np.argmax(gains))

    def called(self, model: str, part: str, place: int) -> float:
        """Share of a part (0-1) whose scores are at least that edge; all at the first one."""
        counts = self.counts[model][part]
        return float(counts[place:].sum() / counts.sum())


def _margins(outputs: SplitOutputs) -> dict[str, NDArray[np.float64]]:
    parts = {name: getattr(outputs, name) for name in PARTS}
    unseen = unseen_of_same_classes(outputs)
    if len(unseen) and (outputs.test_forgotten is not None or len(unseen) < len(outputs.test)):
        parts["unseen"] = unseen
    return {name: np.asarray(one.score("margin").numpy()) for name, one in parts.items()}


def _counted(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    places = np.searchsorted(edges[1:-1], values, side="right")
    return np.bincount(places, minlength=len(edges) - 1)
