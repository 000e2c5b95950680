"""Tensors as files hold them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same by name: detached, on the CPU, and contiguous whatever their memory format was."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
