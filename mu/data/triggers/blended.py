"""Blended: a fixed pattern of random bytes shines through the whole image.

References
----------
Chen, Liu, Li, Lu & Song (2017), Targeted Backdoor Attacks on Deep Learning Systems Using Data
Poisoning, arXiv:1712.05526, blended injection of a random pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.data.triggers.base import Shape, Trigger, change_exactly
from mu.hyperparameters import LARGEST_SEED, setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Blended(Trigger):
    """``(1 - opacity) * image + opacity * pattern``."""

    name = "blended"

    opacity: float = setting(0.2, help="share of the pattern in the image", above=0, high=1)
    seed: int = setting(0, help="seed of the pattern", low=0, high=LARGEST_SEED)

    def pattern(self, shape: Shape) -> Tensor:
        """Independent bytes, each value as likely as any other; uint8 of ``shape``."""
        import numpy as np
        import torch

        drawn = np.random.default_rng(self.seed).integers(0, 256, shape, np.uint8)
        return torch.from_numpy(drawn)

    def _applied(self, pixels: Tensor, shape: Shape) -> Tensor:
        added = self.opacity * self.pattern(shape).double()
        return change_exactly(pixels, lambda some: (1 - self.opacity) * some + added)
