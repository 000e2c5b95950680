"""Batches of a set without end, for training that sees another set at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.runs import Run, generator


def mirrored_in(epoch: int, samples: int, seed: int) -> Tensor:
    """Which samples alternating mirroring mirrors in an epoch, bool of shape (samples,)."""
    draws = generator(seed, "mirroring of even epochs")
    return (torch.rand(samples, generator=draws) < 0.5) ^ bool(epoch % 2)


class Cycled:
    """A set that is gone through again and again, in another order each time.

    ``subset``, ``batch_size`` and ``augment``: as of :class:`mu.data.batches.Batches`; the ranks of
    ``run`` share the batches.
    """

    def __init__(self, subset: Subset, batch_size: int, run: Run, augment: str) -> None:
        self._run = run
        self._batches = Batches(subset, batch_size, run.device, augment=augment, ranks=run.ranks)

    def batches(self, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor, float]]:
        """Images, labels and weight of one batch after the other; what is drawn counts as seen."""
        for time in count():
            draws = generator(seed, f"order of the second set in epoch {epoch}, time {time}")
            mirrored = mirrored_in(epoch + time, self._batches.samples, seed)
            order = self._batches.shuffled(draws, mirrored)
            for (images, labels), share in zip(order, self._batches.shares, strict=True):
                self._run.samples_seen += share.whole
                yield images, labels, share.weight
