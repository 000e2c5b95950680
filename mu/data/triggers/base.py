"""What a trigger is: a fixed change of images, the same for every image of a size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mu.registry import Registered

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Trigger(Registered, ABC):
    """A change of images that an attacker teaches a network to answer with a label.

    Works on the bytes of images, before normalisation and augmentation: so a triggered image is
    one that an attacker could have saved as a file. Fields are settings, typed with the prefix
    ``trigger_``.
    """

    def check(self, shape: Shape) -> None:
        """Refuse images that the trigger does not fit.

        Parameters
        ----------
        shape
            (channels, height, width) of one image.

        Raises
        ------
        UserError
            If it does not fit.
        """

    def sized(self, shape: Shape) -> Self:
        """The same, with what follows from the images' shape fixed."""
        return self

    @abstractmethod
    def apply(self, pixels: Tensor) -> Tensor:
        """Triggered copies of images, on the same device.

        Bytes that the trigger does not touch are left as they are, and the result does not depend
        on the memory layout, on the other images or on how many there are.

        Parameters
        ----------
        pixels
            uint8 of shape (n, channels, height, width); not changed.

        Returns
        -------
        Tensor
            uint8 of the same shape, a contiguous tensor of its own.

        Raises
        ------
        UserError
            If the trigger does not fit images of that size.
        """
