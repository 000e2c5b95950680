"""What a file of images holds: counts, sizes, statistics. Gathered while it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FORMAT = "mu.images/1"
Size = tuple[int, int]  # width and height


@dataclass
class Gathered:
    """What is known of the images seen so far."""

    # How often each channel of the training images, in RGB, has each of its values, (3, 256).
    values: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    # smallest, largest: sizes of the images with the fewest and the most pixels.
    smallest: Size | None = None
    largest: Size | None = None
    encoded: int = 0  # bytes of all encoded images

    def add(self, part: str, image: NDArray[np.uint8], encoded: int) -> None:
        """Take in one image of shape (height, width, 3), encoded in so many bytes."""
        if part == "train":
            self.values += [np.bincount(one, minlength=256) for one in image.reshape(-1, 3).T]
        size = image.shape[1], image.shape[0]
        self.smallest = min(self.smallest or size, size, key=_area)
        self.largest = max(self.largest or size, size, key=_area)
        self.encoded += encoded

    def as_dict(self) -> dict[str, Any]:
        """In plain values, ready for JSON."""
        return {**asdict(self), "values": self.values.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_dict` gave."""
        sizes = {name: tuple(values[name] or ()) or None for name in ("smallest", "largest")}
        return cls(**{**values, **sizes, "values": np.array(values["values"])})


def _area(size: Size) -> tuple[int, Size]:
    """The number of pixels, then the size itself, so that the order of images does not matter."""
    return size[0] * size[1], size


@dataclass(frozen=True)
class Card:
    """What a file of images says of itself."""

    name: str
    source: str  # what it was built from, in words
    classes: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]  # images by part, class by class
    # mean, std: per channel, over all pixels of the training images, scaled to 0-1.
    mean: tuple[float, ...]
    std: tuple[float, ...]
    # smallest, largest, encoded: as in :class:`Gathered`.
    smallest: Size
    largest: Size
    encoded: int
    # sha256 (hex) of labels, lengths and checksums of all images: the same images in the same
    # order, whatever they were built from.
    contents: str
    channels: int = 3  # 3, or 1 where all images are grey

    def size(self, part: str) -> int:
        """Images of a part."""
        return sum(self.counts[part])

    def as_dict(self) -> dict[str, Any]:
        """In plain values, ready for JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_dict` gave.

        ValueError if it is no card, or of another format.
        """
        values = dict(document)
        if values.pop("format", None) != FORMAT:
            raise ValueError("it has a format that this version of mu does not read")
        tuples = ("classes", "mean", "std", "smallest", "largest")
        try:
            return cls(**{**values, **{name: tuple(values[name]) for name in tuples}})
        except (KeyError, TypeError) as error:
            raise ValueError(f"something is missing or strange ({error})") from error
