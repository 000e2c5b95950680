"""Whether a network was trained with the augmentation that is assumed.

It knows the training images as it saw them. One that never saw them mirrored or shifted knows fewer
of those, about as many as of unseen images; one that did knows as many as of plain ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mu.data.images import Images, Subset
from mu.evaluation.outputs import predict
from mu.foreign.trial import CLEARLY, SAMPLE
from mu.runs import Run
from mu.training.recipe import AUGMENTATIONS

SHIFT = 3  # pixels; crops shift by up to 4


def mirrored(pixels: Tensor) -> Tensor:
    """Images (n, channels, height, width), left and right exchanged."""
    return pixels.flip(3)


def shifted(pixels: Tensor) -> Tensor:
    """Images (n, channels, height, width), moved down and to the right, black where they were."""
    height, width = pixels.shape[2:]
    return pad(pixels, (SHIFT, 0, SHIFT, 0))[:, :, :height, :width]


def doubt_augmentation(model: nn.Module, images: Subset, assumed: str, run: Run) -> str | None:
    """What speaks against the augmentation that is assumed, in words; None if nothing does.

    ``images``: the training images, of which a sample is taken.
    """
    drawn = images.drawn(SAMPLE, torch.Generator().manual_seed(0))
    plain = predict(model, drawn, run).accuracy()
    found = {
        one: predict(model, _changed(drawn, one), run).accuracy() for one in (mirrored, shifted)
    }
    share = plain / 100
    clear = 2 * CLEARLY * max(1.0, 100 * sqrt(share * (1 - share) / len(drawn)))
    lost = [one for one, accuracy in found.items() if plain - accuracy > clear]
    likely = "none" if shifted in lost else "crop" if mirrored in lost else AUGMENTATIONS[-1]
    if AUGMENTATIONS.index(assumed) <= AUGMENTATIONS.index(likely):
        return None
    return (
        f"augment={assumed} is assumed, but the network knows {plain:.1f} % of its training images "
        f"and {found[mirrored]:.1f} % of them mirrored, {found[shifted]:.1f} % shifted: it was "
        f"probably trained otherwise; give augment={likely}, or Retrain differs in that, too"
    )


def _changed(images: Subset, change: Callable[[Tensor], Tensor]) -> Subset:
    pixels = images.images.fetch(torch.from_numpy(images.indices))
    return replace(
        images, images=Images(change(pixels), images.labels), indices=np.arange(len(images))
    )
