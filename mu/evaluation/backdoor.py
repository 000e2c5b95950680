"""How far a backdoor works: what a network makes of triggered test images.

References
----------
Gu, Dolan-Gavitt & Garg (2017), arXiv:1708.06733; Jia et al. (2023), section 5. Images whose true
class is the one that the attacker wants are left out: a network without a backdoor gives them
that class, too, and would seem attacked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mu.data.images import ImageDataset
from mu.data.poison import PoisonedDataset
from mu.evaluation.outputs import Outputs, predict
from mu.runs import Run


@dataclass(frozen=True, eq=False)
class Triggered:
    """What a network says of triggered test images.

    Parameters
    ----------
    outputs
        With the true labels.
    aims
        int64 of shape (n_samples,): the class that the attacker wants, never the true one.
    """

    outputs: Outputs
    aims: Tensor

    @property
    def succeeds(self) -> Tensor:
        """Whether the attacker gets what he wants, of shape (n_samples,)."""
        return torch.eq(self.outputs.predictions, self.aims)


def attack(model: nn.Module, dataset: PoisonedDataset, run: Run) -> Triggered:
    """Show ``model`` the triggered test images, once."""
    images = dataset.triggered_test_set()
    return Triggered(predict(model, images, run), dataset.aims(images.labels))


def attack_rates(triggered: Triggered) -> dict[str, float]:
    """Attack success rate and robust accuracy, in percent (0-100).

    Returns
    -------
    dict
        ``ASR``: share of triggered test images given the class that the attacker wants, of those
        that are not of that class; near 0 without a backdoor. ``robust_acc``: share of the same
        images still given their true class.

    Raises
    ------
    ValueError
        If all test images are of the class that the attacker wants.
    """
    if not len(triggered.aims):
        raise ValueError("no test image is of another class than the target")
    return {
        "ASR": 100.0 * float(triggered.succeeds.double().mean()),
        "robust_acc": triggered.outputs.accuracy(),
    }


def backdoor(model: nn.Module, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """What is known of a backdoor where training images were poisoned; nothing elsewhere.

    Returns
    -------
    dict
        :func:`attack_rates`; ``UA_poison``: 100 - share of the poisoned training images still
        given the label that the attacker gave them; and where only some classes were poisoned,
        ``ASR_source``, the ASR among test images of these. In percent.
    """
    if not isinstance(dataset, PoisonedDataset):
        return {}
    poisoned = predict(model, dataset.training_subset(dataset.poisoned), run)
    triggered = attack(model, dataset, run)
    found = {**attack_rates(triggered), "UA_poison": 100.0 - poisoned.accuracy()}
    labels, sources = triggered.outputs.labels, torch.tensor(dataset.sources)
    of_sources = torch.isin(labels, sources)
    if len(sources) and 0 < int(of_sources.sum()) < len(labels):
        found["ASR_source"] = 100.0 * float(triggered.succeeds[of_sources].double().mean())
    return found
