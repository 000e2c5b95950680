"""How a model answers the samples of each class: confusion, and accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mu.evaluation.outputs import Outputs, SplitOutputs, joined


def whole_test(outputs: SplitOutputs) -> Outputs:
    """All test samples, those of a forgotten class among them."""
    if outputs.test_forgotten is None:
        return outputs.test
    return joined([outputs.test, outputs.test_forgotten])


def confusion(outputs: Outputs) -> NDArray[np.int64]:
    """Samples by true class (rows) and prediction (columns), (n_classes, n_classes)."""
    count = outputs.classes
    pairs = outputs.labels * count + outputs.predictions
    return np.bincount(pairs.numpy(), minlength=count * count).reshape(count, count)


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of each row of a :func:`confusion`, in percent; 0 of a class without samples."""
    return np.asarray(100 * counts / np.maximum(counts.sum(1, keepdims=True), 1), float)


def class_accuracy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Accuracy on each class of a :func:`confusion`, in percent; NaN of one without samples."""
    total = counts.sum(1)
    return np.where(total > 0, 100 * np.diag(counts) / np.maximum(total, 1), np.nan)
