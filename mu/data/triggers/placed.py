"""Where a trigger that covers a part of the image lies."""

from __future__ import annotations

import re
from abc import ABC
from dataclasses import dataclass, fields

from mu.data.triggers.base import Trigger
from mu.errors import UserError, unknown
from mu.hyperparameters import setting

POSITIONS = ("bottom_right", "bottom_left", "top_right", "top_left", "center")
Size = tuple[int, int]  # height and width


@dataclass(frozen=True)
class Placed(Trigger, ABC):
    """A trigger that covers a rectangle: near a corner, in the middle, or at a place."""

    position: str = setting(
        "bottom_right",
        help=f"where it lies: {', '.join(POSITIONS)}, or X,Y (pixels to the left of and above it)",
    )
    margin: int = setting(0, help="pixels between it and the edges", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._place() is None and self.position not in POSITIONS:
            raise unknown("position", self.position, POSITIONS)
        default = next(one.default for one in fields(self) if one.name == "margin")
        if (self.position == "center" or self._place()) and self.margin != default:
            raise UserError(
                f"trigger_margin={self.margin} has no effect beside trigger_position="
                f"{self.position}; leave one out"
            )

    def placing(self) -> dict[str, int | str]:
        """The setting that says how far from the edges it lies."""
        return {"position": self.position} if self._place() else {"margin": self.margin}

    def fits(self, image: Size, covered: Size) -> bool:
        """Whether a rectangle of that size lies inside images of that size."""
        room = [whole - part for whole, part in zip(image, covered, strict=True)]
        if place := self._place():
            return all(0 <= start <= free for start, free in zip(place, room, strict=True))
        return min(room) >= self.margin

    def corner(self, image: Size, covered: Size) -> Size:
        """First row and first column of a rectangle that :meth:`fits`."""
        if place := self._place():
            return place
        free_rows, free_columns = (a - b for a, b in zip(image, covered, strict=True))
        if self.position == "center":
            return free_rows // 2, free_columns // 2
        words = self.position.split("_")
        return (
            self.margin if "top" in words else free_rows - self.margin,
            self.margin if "left" in words else free_columns - self.margin,
        )

    def _place(self) -> Size | None:
        """First row and column where they are given as X,Y."""
        found = re.fullmatch(r"(\d{1,6}),(\d{1,6})", self.position)
        return (int(found[2]), int(found[1])) if found else None
