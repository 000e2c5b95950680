"""How far a backdoor works: what a network makes of triggered test images.

References
----------
Gu, Dolan-Gavitt & Garg (2017), arXiv:1708.06733; Jia et al. (2023), section 5. Images whose true
class is the one that the attacker wants are left out: a network without a backdoor gives them
that class, too, and would seem attacked.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mu.data.attack import AttackedDataset
from mu.data.images import ImageDataset
from mu.evaluation.outputs import Outputs, joined, predict
from mu.runs import Run

MOST_BYTES = 2**28  # of triggered images at a time, where a test set is streamed


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
    """What the network says of all triggered test images."""
    rows = dataset.attackable()
    if not len(rows):
        raise ValueError("no test image is of another class than the target")
    most = max(1, MOST_BYTES // math.prod(dataset.shape)) if dataset.streams else len(rows)
    parts = (dataset.triggered_test_set(some) for some in torch.split(rows, most))
    return joined([predict(model, part, run) for part in parts])
