"""Pixel: one pixel near a corner of the image.

References
----------
Gu, Dolan-Gavitt & Garg (2017), BadNets: Identifying Vulnerabilities in the Machine Learning Model
Supply Chain, arXiv:1708.06733, the backdoor of a single pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

from mu.data.triggers.base import Shape
from mu.data.triggers.square import Square
from mu.hyperparameters import changed


@dataclass(frozen=True)
class Pixel(Square):
    """A square of one pixel."""

    name = "pixel"

    margin: int = changed(Square, "margin", 1)

    def side(self, shape: Shape) -> int:
        """See :meth:`Square.side`."""
        return 1
