"""Patch: a small square near a corner of the image.

References
----------
Gu, Dolan-Gavitt & Garg (2017), BadNets: Identifying Vulnerabilities in the Machine Learning Model
Supply Chain, arXiv:1708.06733, the pattern of several pixels; a square near a corner as in Jia et
al. (2023), Model Sparsity Can Simplify Machine Unlearning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mu.data.triggers.base import Shape
from mu.data.triggers.square import Square
from mu.hyperparameters import setting


@dataclass(frozen=True)
class Patch(Square):
    """A square of ``size`` pixels a side."""

    name = "patch"
    aliases = ("badnets",)

    size: int | None = setting(
        None, help="pixels a side; by default an eighth of the shorter side, at least 2", low=1
    )

    def sized(self, shape: Shape) -> Self:
        """See :meth:`Trigger.sized`."""
        return self.replace(size=self.side(shape))

    def side(self, shape: Shape) -> int:
        """See :meth:`Square.side`."""
        return max(2, min(shape[1:]) // 8) if self.size is None else self.size
