"""Images shifted, each by its own number of pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(pixels: Tensor, shifts: Tensor, padding: int, *, reflects: bool) -> Tensor:
    """Images (n, channels, height, width), padded at each side and cropped at their own places.

    ``shifts``: of shape (n, 2), within 0 and twice the ``padding``. ``reflects``: whether images
    are padded with what they reflect, not with zeros.
    """
    count, channels, height, width = pixels.shape
    padded = _padded(pixels, padding, reflects)
    rows = shifts[:, 0, None] + torch.arange(height, device=pixels.device)
    columns = shifts[:, 1, None] + torch.arange(width, device=pixels.device)
    place = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).view(count, 1, -1)
    flat = padded.view(count, channels, -1)
    return flat.gather(2, place.expand(-1, channels, -1)).view(count, channels, height, width)


def _padded(pixels: Tensor, padding: int, reflects: bool) -> Tensor:
    if not reflects:
        return torch.nn.functional.pad(pixels, (padding,) * 4)
    for dim in (2, 3):
        last = pixels.shape[dim] - 1
        place = torch.arange(-padding, last + padding + 1, device=pixels.device).abs()
        pixels = pixels.index_select(dim, last - (last - place).abs())
    return pixels.contiguous()
