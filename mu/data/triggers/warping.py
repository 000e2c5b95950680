"""Warping (WaNet): the image is bent by a small, smooth field, as a lens would.

The strength is divided by the height and the width of the image, as in the program of the authors;
so at 0.5 a pixel moves by about a quarter of a pixel. Other than there, images need not be square,
bytes are warped instead of normalised values, and there is no noise mode (training images that
are warped in random other ways and keep their label).

References
----------
Nguyen & Tran (2021), WaNet - Imperceptible Warping-based Backdoor Attack, ICLR, arXiv:2102.10369.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.data.triggers.base import Shape, Trigger, change_exactly
from mu.errors import UserError
from mu.hyperparameters import LARGEST_SEED, setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Warping(Trigger):
    """Each pixel is read, by bilinear interpolation, a little beside its place."""

    name = "warping"
    aliases = ("wanet",)

    grid: int = setting(4, help="control points a side of the warping field", low=2, high=256)
    strength: float = setting(0.5, help="twice the mean shift at the points, in pixels", above=0)
    seed: int = setting(0, help="seed of the warping field", low=0, high=LARGEST_SEED)

    def check(self, shape: Shape) -> None:
        """See :meth:`Trigger.check`; refuses a field that is finer than the pixels."""
        _, height, width = shape
        if self.grid > min(height, width):
            raise UserError(
                f"trigger_grid={self.grid}: finer than the {height}x{width} images; give at most "
                f"{min(height, width)}"
            )

    def places(self, height: int, width: int) -> Tensor:
        """Where each pixel is read: float64 of shape (height, width, 2), (x, y) from -1 to 1."""
        import numpy as np
        import torch
        import torch.nn.functional as F

        drawn = np.random.default_rng(self.seed).uniform(-1, 1, (2, self.grid, self.grid))
        points = torch.from_numpy(drawn / np.abs(drawn).mean())
        field = F.interpolate(points[None], (height, width), mode="bicubic", align_corners=True)
        shift = field[0].permute(1, 2, 0) * self.strength / torch.tensor([width, height])
        rows = torch.linspace(-1, 1, height, dtype=torch.float64)
        columns = torch.linspace(-1, 1, width, dtype=torch.float64)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return (torch.stack([x, y], dim=2) + shift).clamp(-1, 1)

    def _applied(self, pixels: Tensor, shape: Shape) -> Tensor:
        import torch.nn.functional as F

        places = self.places(*shape[1:])

        def warp(some: Tensor) -> Tensor:
            return F.grid_sample(some, places.expand(len(some), -1, -1, -1), align_corners=True)

        return change_exactly(pixels, warp)
