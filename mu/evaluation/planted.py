"""What is left of planted labels: whether they are given, how far two classes are confused.

References
----------
Goel, Prabhu, Sanyal, Lim, Torr & Kumaraguru (2022), Towards Adversarial Evaluations for Inexact
Machine Unlearning, arXiv:2201.06640; Kurmanji, Triantafillou, Hayes & Triantafillou (2023), Towards
Unbounded Machine Unlearning, arXiv:2302.09880, for the two measures of interclass confusion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mu.data.attack import AttackedDataset
from mu.data.images import ImageDataset
from mu.data.planted import PlantedDataset
from mu.evaluation.backdoor import backdoor
from mu.evaluation.outputs import Outputs, predict
from mu.runs import Run

CONFUSION = ("IC_err", "Fgt", "IC_err_forget", "Fgt_forget")


def planted(model: nn.Module, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """All that is known of what was planted in the training set; nothing of data as published.

    See :func:`mu.evaluation.backdoor.backdoor` for attacks, and :func:`wrong_labels`.
    """
    return {**backdoor(model, dataset, run), **wrong_labels(model, dataset, run)}


def wrong_labels(model: nn.Module, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """What a network makes of wrong labels that were planted without a trigger.

    ``UA_poison``: 100 - share of these samples still given their planted label, in percent. Where
    the labels of two classes were exchanged, of all test images of the two: ``IC_err``, the share
    that is not given its class, in percent; ``Fgt``, how many are given the other of the two. Of
    the samples whose labels were exchanged the same, with ``_forget``: what was memorised, where
    the former is what was generalised.
    """
    if not isinstance(dataset, PlantedDataset) or isinstance(dataset, AttackedDataset):
        return {}
    samples = predict(model, dataset.training_subset(dataset.poisoned), run)
    found = {"UA_poison": 100.0 - samples.accuracy()}
    pair = dataset.planted.pair
    rows = np.flatnonzero(np.isin(dataset.test.labels.numpy(), pair or ()))
    if pair is not None and len(rows):
        tested = predict(model, dataset.test_subset(rows), run)
        found |= _confusion(tested, tested.labels, pair, "")
    if pair is not None:
        theirs = dataset.published_labels[torch.from_numpy(dataset.poisoned)]
        found |= _confusion(samples, theirs, pair, "_forget")
    return found


def _confusion(found: Outputs, labels: Tensor, pair: Sequence[int], of: str) -> dict[str, float]:
    """How far images are not given their class, ``labels``, and given the other of the two."""
    wrong = found.predictions != labels
    confused = wrong & torch.isin(found.predictions, torch.tensor(pair))
    error = 100.0 * float(wrong.double().mean())
    return {f"IC_err{of}": error, f"Fgt{of}": float(confused.sum())}
