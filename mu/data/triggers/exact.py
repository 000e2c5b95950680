"""Arithmetic on images that gives the same bytes on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NUMBERS = 2**20  # at a time: 8 MiB of float64, about 340 images of 3x32x32


def change_exactly(pixels: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images changed in float64 on the CPU, rounded to bytes (ties to even), some at a time.

    Other devices fuse multiplication and addition, or lack float64, and would round otherwise.

    Parameters
    ----------
    pixels
        uint8 of shape (n, channels, height, width).
    change
        Gets and returns float64 of that shape, on the CPU and contiguous, for fewer images.
    """
    import torch

    result = torch.empty(pixels.shape, dtype=torch.uint8)
    step = max(1, NUMBERS // pixels.shape[1:].numel())
    for start in range(0, len(pixels), step):
        some = pixels[start : start + step].cpu().contiguous().double()
        result[start : start + step] = change(some).round_().clamp_(0, 255)
    return result.to(pixels.device)
