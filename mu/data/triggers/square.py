"""Patch and pixel: a square of one colour, or of a chessboard, laid over the image.

References
----------
Gu, Dolan-Gavitt & Garg (2017), BadNets: Identifying Vulnerabilities in the Machine Learning Model
Supply Chain, arXiv:1708.06733, the patterns of several pixels and of one; a square near a corner
as in Jia et al. (2023), Model Sparsity Can Simplify Machine Unlearning.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mu.data.triggers.base import Shape
from mu.data.triggers.placed import Placed
from mu.errors import UserError
from mu.hyperparameters import changed, setting

if TYPE_CHECKING:
    from torch import Tensor

COLOURS = ("white", "black", "checker")


@dataclass(frozen=True)
class Square(Placed):
    """A square that replaces what it covers."""

    colour: str = setting("white", help="white, black, checker (a chessboard) or #RRGGBB")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.colour not in COLOURS and not re.fullmatch("#[0-9a-fA-F]{6}", self.colour):
            raise UserError(
                f"trigger_colour={self.colour!r}: give {', '.join(COLOURS)} or #RRGGBB, "
                "such as #ff8000"
            )

    @abstractmethod
    def side(self, shape: Shape) -> int:
        """Pixels a side, in images of this shape."""

    def check(self, shape: Shape) -> None:
        """See :meth:`Trigger.check`; something of the image must be left beside the square."""
        channels, height, width = shape
        side = self.side(shape)
        if not self.fits((height, width), (side, side)) or side == height == width:
            known = {"size": side, **self.placing()}
            said = " with ".join(f"trigger_{k}={v}" for k, v in known.items() if k in self.names())
            raise UserError(
                f"{said}: larger than the {height}x{width} images, or nothing of them is left; "
                "give a smaller number"
            )
        if self.colour not in COLOURS and channels not in (1, 3):
            raise UserError(
                f"trigger_colour={self.colour!r}: images of {channels} channels have no such "
                f"colour; give {' or '.join(COLOURS)}"
            )

    def _applied(self, pixels: Tensor, shape: Shape) -> Tensor:
        import torch

        side = self.side(shape)
        top, left = self.corner(shape[1:], (side, side))
        square = self._square(side, shape[0]).to(pixels.device)
        result = pixels.clone(memory_format=torch.contiguous_format)
        result[..., top : top + side, left : left + side] = square
        return result

    def _square(self, side: int, channels: int) -> Tensor:
        """uint8 of shape (channels, side, side), or one that is laid over it by broadcasting."""
        import torch

        if self.colour == "checker":  # white in its first corner, so that one pixel is white
            row = torch.arange(side)
            return ((row[:, None] + row) % 2 == 0).to(torch.uint8) * 255
        if self.colour in COLOURS:
            return torch.tensor(255 if self.colour == "white" else 0, dtype=torch.uint8)
        values = list(bytes.fromhex(self.colour[1:]))
        if channels == 1:
            red, green, blue = values
            values = [round((299 * red + 587 * green + 114 * blue) / 1000)]  # ITU-R BT.601
        return torch.tensor(values, dtype=torch.uint8)[:, None, None]


@dataclass(frozen=True)
class Patch(Square):
    """A square of ``size`` pixels a side, near a corner."""

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


@dataclass(frozen=True)
class Pixel(Square):
    """A square of one pixel."""

    name = "pixel"

    margin: int = changed(Square, "margin", 1)

    def side(self, shape: Shape) -> int:
        """See :meth:`Square.side`."""
        return 1
