"""What is left of what was planted: how far a backdoor works, whether planted labels are given.

References
----------
Goel, Prabhu, Sanyal, Lim, Torr & Kumaraguru (2022), Towards Adversarial Evaluations for Inexact
Machine Unlearning, arXiv:2201.06640; Kurmanji, Triantafillou, Hayes & Triantafillou (2023), Towards
Unbounded Machine Unlearning, arXiv:2302.09880, for the two measures of interclass confusion. Gu,
Dolan-Gavitt & Garg (2017), arXiv:1708.06733; Jia et al. (2023), section 5, for backdoors. Images
whose true class is the one that the attacker wants are left out: a network without a backdoor gives
them that class, too, and would seem attacked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mu.data.attack import AttackedDataset
from mu.data.images import ImageDataset
from mu.data.planted import PlantedDataset
from mu.evaluation.outputs import Outputs, joined, predict
from mu.runs import Run

CONFUSION = ("IC_err", "Fgt", "IC_err_forget", "Fgt_forget")
MOST_BYTES = 2**28  # of triggered images at a time, where a test set is streamed


def planted(model: nn.Module, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """All that is known of what was planted in the training set; nothing of data as published.

    See :func:`backdoor` for attacks, and :func:`wrong_labels`.
    """
    return {**backdoor(model, dataset, run), **wrong_labels(model, dataset, run)}


def backdoor(model: nn.Module, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """What is known of a backdoor where an attack is known; nothing elsewhere.

    ValueError if all test images are of the class that the attacker wants. In percent. ``ASR``:
    share of triggered test images given the class that the attacker wants, of those that are not of
    that class; near 0 without a backdoor. ``robust_acc``: share of the same images still given
    their true class. Where it is known which training images were poisoned, also ``UA_poison``:
    100 - share of these still given the label that the attacker gave them; and where only some
    classes were poisoned, ``ASR_source``, the ASR among test images of these.
    """
    if not isinstance(dataset, AttackedDataset):
        return {}
    triggered = _triggered(model, dataset, run)
    succeeds = torch.eq(triggered.predictions, dataset.aims(triggered.labels)).double()
    found = {"ASR": 100.0 * float(succeeds.mean()), "robust_acc": triggered.accuracy()}
    if len(dataset.poisoned):
        poisoned = predict(model, dataset.training_subset(dataset.poisoned), run)
        found["UA_poison"] = 100.0 - poisoned.accuracy()
    of_sources = torch.isin(triggered.labels, torch.tensor(dataset.sources))
    if 0 < int(of_sources.sum()) < len(triggered):
        found["ASR_source"] = 100.0 * float(succeeds[of_sources].mean())
    return found


def _triggered(model: nn.Module, dataset: AttackedDataset, run: Run) -> Outputs:
    rows = dataset.attackable()
    if not len(rows):
        raise ValueError("no test image is of another class than the target")
    most = max(1, MOST_BYTES // math.prod(dataset.shape)) if dataset.streams else len(rows)
    parts = (dataset.triggered_test_set(some) for some in torch.split(rows, most))
    return joined([predict(model, part, run) for part in parts])


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
