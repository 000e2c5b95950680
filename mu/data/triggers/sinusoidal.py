"""Sinusoidal (SIG): faint vertical stripes, a sine along the rows, over the whole image.

References
----------
Barni, Kallas & Tondi (2019), A New Backdoor Attack in CNNs by Training Set Corruption Without
Label Poisoning, ICIP, arXiv:1902.11237; columns are counted from zero, as in the program of the
authors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.data.triggers.base import Shape, Trigger, change_exactly
from mu.errors import UserError
from mu.hyperparameters import setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sinusoidal(Trigger):
    """``amplitude * sin(2 pi column frequency / width)`` is added to each row and channel."""

    name = "sinusoidal"
    aliases = ("sig",)

    amplitude: float = setting(20.0, help="grey levels of the stripes", above=0, high=255)
    frequency: float = setting(6.0, help="periods across the image's width", above=0, high=1e6)

    def check(self, shape: Shape) -> None:
        """See :meth:`Trigger.check`; refuses a sine that is zero wherever there is a column."""
        if max(map(abs, self.wave(shape[2]))) < 0.5:  # rounding takes it back from every byte
            raise UserError(
                f"trigger_amplitude={self.amplitude:g} with trigger_frequency={self.frequency:g} "
                f"changes no image of width {shape[2]}; give another frequency or a larger "
                "amplitude"
            )

    def wave(self, width: int) -> list[float]:
        """What is added to each column."""
        turn = 2 * math.pi
        return [
            self.amplitude * math.sin(turn * column * self.frequency / width)
            for column in range(width)
        ]

    def _applied(self, pixels: Tensor, shape: Shape) -> Tensor:
        import torch

        wave = torch.tensor(self.wave(shape[2]), dtype=torch.float64)
        return change_exactly(pixels, lambda some: some + wave)
