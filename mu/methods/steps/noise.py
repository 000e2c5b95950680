"""Noise that a network calls a class the least, and its copies among other images."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.data.images import Images, Subset
from mu.runs import Run


class RealImages(Images):
    """Images whose pixels need be no bytes: float of shape (n, channels, height, width)."""

    def __post_init__(self) -> None:
        if not self.pixels.is_floating_point() or self.pixels.shape[:1] != self.labels.shape:
            raise TypeError("pixels must be floats of shape (n, channels, height, width)")


def maximise_error(
    model: nn.Module, noise: Tensor, label: int, steps: int, rate: float, decay: float, run: Run
) -> Tensor:
    """Steps of Adam on -CE(f(noise), label) + decay * (mean over images of their squared length).

    The network is in evaluation mode, and stays as it is. ``noise``: as the network takes images,
    that is normalised; float64 of shape (n, channels, height, width).
    """
    first = next(model.parameters())
    noise = noise.to(first.device).requires_grad_()
    labels = torch.full((len(noise),), label, device=first.device)
    optimizer = torch.optim.Adam([noise], lr=rate)
    was_training = model.training
    model.eval()
    for _ in range(steps):
        with run.autocast():
            error = F.cross_entropy(model(noise.to(first.dtype)), labels)
        length = noise.square().flatten(1).sum(1).mean()
        (noise.grad,) = torch.autograd.grad(decay * length - error, [noise])
        optimizer.step()
        run.samples_seen += len(noise)
    model.train(was_training)
    return noise.detach().cpu()


def among(retained: Subset, noise: Tensor, labels: Tensor, copies: int) -> Subset:
    """``copies`` of the noise, which is normalised, and once the retained images.

    All of them are in memory, as float32.
    """
    scales = (torch.tensor(one, dtype=torch.float64) for one in (retained.mean, retained.std))
    mean, std = (one.view(1, -1, 1, 1) for one in scales)
    pixels = 255 * (noise * std + mean)  # in the scale of bytes, which batches normalise
    known = retained.images.fetch(torch.from_numpy(retained.indices))
    images = RealImages(
        torch.cat([known.float(), pixels.float()]), torch.cat([retained.labels, labels])
    )
    numbers = np.arange(len(known) + len(noise))
    indices = np.concatenate([numbers[: len(known)], np.tile(numbers[len(known) :], copies)])
    return Subset(images, indices, retained.mean, retained.std)


def of_each_class(retained: Subset, most: int, draws: torch.Generator) -> Subset:
    """At most so many samples of each class, in their order."""
    labels = retained.labels[order := torch.randperm(len(retained), generator=draws)]
    chosen = torch.cat([order[labels == one][:most] for one in sorted({*labels.tolist()})])
    numbers = retained.indices[chosen.sort().values.numpy()]
    return Subset(retained.images, numbers, retained.mean, retained.std)
