"""What a file of images holds: counts, sizes, statistics. Gathered while it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FORMAT = "mu.images/1"


@dataclass
class Gathered:
    """Sums over the images seen so far, in RGB, of pixels scaled to 0-1.

    Parameters
    ----------
    pixels, sums, squares
        Number of pixels, and per channel the sums of values and of their squares.
    smallest, largest
        (width, height) of the images with the fewest and the most pixels.
    """

    images: int = 0
    pixels: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 3)
    squares: list[float] = field(default_factory=lambda: [0.0] * 3)
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    encoded: int = 0

    def add(self, image: NDArray[np.uint8], encoded: int) -> None:
        """Take in one image of shape (height, width, 3), encoded in so many bytes."""
        height, width = image.shape[:2]
        flat = image.reshape(-1, 3)
        self.images += 1
        self.pixels += height * width
        self.encoded += encoded
        for channel in range(3):
            # Exact: counts of 256 values, rather than sums of many floats.
            counts = np.bincount(flat[:, channel], minlength=256)
            values = np.arange(256) / 255
            self.sums[channel] += float(counts @ values)
            self.squares[channel] += float(counts @ values**2)
        size = (width, height)
        area = width * height
        if self.smallest is None or area < self.smallest[0] * self.smallest[1]:
            self.smallest = size
        if self.largest is None or area > self.largest[0] * self.largest[1]:
            self.largest = size

    def merged(self, other: Gathered) -> Gathered:
        """Both together."""
        sizes = [one for one in (self.smallest, other.smallest) if one]
        large = [one for one in (self.largest, other.largest) if one]
        return Gathered(
            self.images + other.images,
            self.pixels + other.pixels,
            [a + b for a, b in zip(self.sums, other.sums, strict=True)],
            [a + b for a, b in zip(self.squares, other.squares, strict=True)],
            min(sizes, key=lambda size: size[0] * size[1], default=None),
            max(large, key=lambda size: size[0] * size[1], default=None),
            self.encoded + other.encoded,
        )

    def mean(self) -> tuple[float, ...]:
        """Per channel."""
        return tuple(round(one / max(self.pixels, 1), 6) for one in self.sums)

    def std(self) -> tuple[float, ...]:
        """Per channel."""
        means = [one / max(self.pixels, 1) for one in self.sums]
        found = zip(self.squares, means, strict=True)
        variances = [max(0.0, total / max(self.pixels, 1) - mean**2) for total, mean in found]
        return tuple(round(float(np.sqrt(one)), 6) or 1.0 for one in variances)

    def as_dict(self) -> dict[str, Any]:
        """In plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_dict` gave."""
        sizes = {
            name: tuple(values[name]) if values[name] else None for name in ("smallest", "largest")
        }
        return cls(**{**values, **sizes})


@dataclass(frozen=True)
class Card:
    """What a file of images says of itself.

    Parameters
    ----------
    source
        What it was built from, in words.
    counts
        Images by part, class by class.
    mean, std
        Per channel, over all pixels of the training images, scaled to 0-1.
    smallest, largest
        (width, height) over all images.
    encoded
        Bytes of all encoded images.
    contents
        sha256 (hex) of labels, lengths and checksums of all images: the same images in the same
        order, whatever they were built from.
    channels
        3, or 1 where all images are grey.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    encoded: int
    contents: str
    channels: int = 3

    def size(self, part: str) -> int:
        """Images of a part."""
        return sum(self.counts[part])

    def as_dict(self) -> dict[str, Any]:
        """In plain values, ready for JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_dict` gave.

        Raises
        ------
        ValueError
            If it is no card, or of another format.
        """
        values = dict(document)
        if values.pop("format", None) != FORMAT:
            raise ValueError("it has a format that this version of mu does not read")
        tuples = ("classes", "mean", "std", "smallest", "largest")
        try:
            return cls(**{**values, **{name: tuple(values[name]) for name in tuples}})
        except (KeyError, TypeError) as error:
            raise ValueError(f"something is missing or strange ({error})") from error
