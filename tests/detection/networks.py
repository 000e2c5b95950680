"""A network whose features are the pixels themselves, for the tests of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data.images import ImageDataset
from mu.data.splits import SplitSpec
from mu.masks import Mask
from tests.helpers import make_recipe


def checkpoint_of(
    dataset: ImageDataset, *, removed: Sequence[int] = (), split: SplitSpec | None = None
) -> Checkpoint:
    """A network whose features are the normalised pixels."""
    pixels = dataset.train.fetch(torch.tensor([0])).numel()
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, len(dataset.classes)))
    mask = Mask({"1.weight": torch.ones(len(dataset.classes), pixels).bool()})
    recipe = replace(make_recipe(dataset), split=split or SplitSpec(val_share=0.0))
    return Checkpoint(model, mask, Spec(DataSpec.of(dataset), recipe, tuple(removed)))
