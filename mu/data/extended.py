"""Images that are no bytes, behind those of a set: what an attack made of some of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mu.data.images import ImageSet


@dataclass(frozen=True, eq=False)
class Extended(ImageSet):
    """A set, and after its last image others whose grey levels are real numbers.

    These are trained on as they are, whatever is done to the others: never augmented, never
    rounded.
    """

    first: ImageSet
    more: Tensor  # float32 of shape (n, channels, height, width), 0-255
    labels: Tensor  # of both

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.first.shape

    def fetch(self, rows: Tensor) -> Tensor:
        """See :meth:`ImageSet.fetch`; the others rounded."""
        pixels = torch.empty(len(rows), *self.shape, dtype=torch.uint8)
        is_first = rows < len(self.first)
        pixels[is_first] = self.first.fetch(rows[is_first])
        pixels[~is_first] = self.more[rows[~is_first] - len(self.first)].round().byte()
        return pixels

    def digest(self) -> bytes:
        """sha256 of that of the set, the others and the labels."""
        seen = hashlib.sha256(self.first.digest())
        seen.update(self.more.contiguous().numpy().data)
        seen.update(self.labels.contiguous().numpy().data)
        return seen.digest()

    def relabelled(self, labels: Tensor) -> Extended:
        """See :meth:`ImageSet.relabelled`."""
        return replace(self, labels=labels)
