"""How far a backdoor works: what a network makes of triggered test images.

References
----------
Gu, Dolan-Gavitt & Garg (2017), arXiv:1708.06733; Jia et al. (2023), section 5. Images whose true
class is the one that the attacker wants are left out: a network without a backdoor gives them
that class, too, and would seem attacked.
"""

from __future__ import annotations

import torch
from torch import nn

from mu.data.images import ImageDataset
from mu.data.poison import PoisonedDataset
from mu.evaluation.outputs import predict
from mu.runs import Run


def backdoor(model: nn.Module, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """What is known of a backdoor where training images were poisoned; nothing elsewhere.

    ValueError if all test images are of the class that the attacker wants. In percent. ``ASR``:
    share of triggered test images given the class that the attacker wants, of those that are not of
    that class; near 0 without a backdoor. ``robust_acc``: share of the same images still given
    their true class. ``UA_poison``: 100 - share of the poisoned training images still given the
    label that the attacker gave them; and where only some classes were poisoned, ``ASR_source``,
    the ASR among test images of these.
    """
    if not isinstance(dataset, PoisonedDataset):
        return {}
    poisoned = predict(model, dataset.training_subset(dataset.poisoned), run)
    images = dataset.triggered_test_set()
    if not len(images):
        raise ValueError("no test image is of another class than the target")
    triggered = predict(model, images, run)
    succeeds = torch.eq(triggered.predictions, dataset.aims(images.labels)).double()
    found = {
        "ASR": 100.0 * float(succeeds.mean()),
        "robust_acc": triggered.accuracy(),
        "UA_poison": 100.0 - poisoned.accuracy(),
    }
    of_sources = torch.isin(images.labels, torch.tensor(dataset.sources))
    if 0 < int(of_sources.sum()) < len(images):
        found["ASR_source"] = 100.0 * float(succeeds[of_sources].mean())
    return found
