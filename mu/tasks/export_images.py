"""The images by which an exported file is compared with its network, calibrated and judged."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mu.compact.files import Answers
from mu.data.batches import Batches
from mu.data.images import ImageDataset, Subset
from mu.spec import Spec

COMPARED, CALIBRATING, JUDGING = 256, 256, 2000  # images, at most
BATCH = 64
CPU = torch.device("cpu")


def compared(dataset: ImageDataset) -> Tensor:
    """The first test images, as the network takes them."""
    return _together(dataset.test_subset().part(0, COMPARED))


def calibrating(spec: Spec, dataset: ImageDataset) -> Tensor:
    """Training images, none of which was forgotten: the file must not depend on those."""
    subset = dataset.training_subset(spec.split(dataset).train)
    return _together(subset.drawn(CALIBRATING, _draws()))


@torch.no_grad()
def accuracies(
    model: nn.Module, answers: Answers, spec: Spec, dataset: ImageDataset
) -> dict[str, float]:
    """TA of the run's network and of the file, on the same test images."""
    known = dataset.training_subset(spec.split(dataset).train).labels.numpy()
    test = dataset.test_subset()
    kept = np.isin(test.labels.numpy(), known)  # no class that was forgotten as a whole
    chosen = dataset.test_subset(test.indices[kept]).drawn(JUDGING, _draws())
    networks: dict[str, Answers] = {"TA_fp32": model, "TA_exported": answers}
    right = dict.fromkeys(networks, 0)
    for images, labels in Batches(chosen, BATCH, CPU).in_order():
        for name, network in networks.items():
            right[name] += int((network(images).argmax(1) == labels).sum())
    return {name: 100 * count / len(chosen) for name, count in right.items()}


def _draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _together(subset: Subset) -> Tensor:
    return torch.cat([images for images, _ in Batches(subset, BATCH, CPU).in_order()])
