"""What a trigger is: a fixed change of images, the same for every image of a size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mu.registry import Registered

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]
NUMBERS = 2**20  # at a time: 8 MiB of float64, about 340 images of 3x32x32


@dataclass(frozen=True)
class Trigger(Registered, ABC):
    """A change of images that an attacker teaches a network to answer with a label.

    Works on the bytes of images, before normalisation and augmentation: so a triggered image is
    one that an attacker could have saved as a file. Fields are settings, typed with the prefix
    ``trigger_``.
    """

    def check(self, shape: Shape) -> None:
        """Refuse images that the trigger does not fit.

        ``shape``: (channels, height, width) of one image. UserError if it does not fit.
        """

    def sized(self, shape: Shape) -> Self:
        """The same, with what follows from the images' shape fixed."""
        return self

    def in_words(self, shape: Shape) -> str:
        """What images of that shape get; the settings in force."""
        settings = self.sized(shape).as_dict().items()
        return f"{self.name} ({', '.join(f'{name} {value}' for name, value in settings)})"

    def apply(self, pixels: Tensor) -> Tensor:
        """Triggered copies of images, on the same device.

        Bytes that the trigger does not touch are left as they are, and the result does not depend
        on the memory layout, on the other images or on how many there are. ``pixels``: uint8 of
        shape (n, channels, height, width); not changed. UserError if the trigger does not fit
        images of that size. Gives uint8 of the same shape, a contiguous tensor of its own.
        """
        channels, height, width = pixels.shape[1:]
        self.check((channels, height, width))
        return self._applied(pixels, (channels, height, width))

    @abstractmethod
    def _applied(self, pixels: Tensor, shape: Shape) -> Tensor:
        """What :meth:`apply` gives, for images of a shape that was checked."""


def change_exactly(pixels: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images changed in float64 on the CPU, rounded to bytes (ties to even), some at a time.

    Other devices fuse multiplication and addition, or lack float64, and would round otherwise.
    ``pixels``: uint8 of shape (n, channels, height, width). ``change``: gets and returns float64 of
    that shape, on the CPU and contiguous, for fewer images.
    """
    import torch

    result = torch.empty(pixels.shape, dtype=torch.uint8)
    step = max(1, NUMBERS // pixels.shape[1:].numel())
    for start in range(0, len(pixels), step):
        some = pixels[start : start + step].cpu().contiguous().double()
        result[start : start + step] = change(some).round_().clamp_(0, 255)
    return result.to(pixels.device)
