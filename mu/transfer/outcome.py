"""A network after its transfer, and how it does on the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset
from mu.evaluation.outputs import Outputs, predict
from mu.runs import Run
from mu.training import Training
from mu.transfer.checkpoint import transferred


@dataclass(frozen=True)
class Outcome:
    """A network after its transfer."""

    checkpoint: Checkpoint
    test: Outputs  # on the target's test images
    accuracies: Mapping[str, float]  # on the target, in percent
    seconds: float  # of its training
    run: Run


def transfer_of(
    checkpoint: Checkpoint,
    target: ImageDataset,
    training: Training,
    run: Run,
    tune: str,
    label: str,
) -> Outcome:
    """Transfer a network and evaluate it; see :func:`mu.transfer.checkpoint.transferred`."""
    with run.stopwatch() as seconds:
        found = transferred(checkpoint, target, training, run, tune=tune, label=label)
    seen = found.spec.data.bind(target)
    test = predict(found.model, seen.test_subset(), run)
    train = predict(found.model, seen.training_subset(np.arange(len(seen.train))), run)
    accuracies = {"target_acc": test.accuracy(), "target_train_acc": train.accuracy()}
    return Outcome(found, test, accuracies, seconds[0], run)
