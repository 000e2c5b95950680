"""Tensors as files hold them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same by name: detached, on the CPU, and contiguous whatever their memory format was.

    Of tensors that share memory, as tied weights do, all but the first are copied: files hold each
    under every name.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        one = value.detach().cpu().contiguous()
        place = one.untyped_storage().data_ptr()
        found[name] = one.clone() if place in seen else one
        seen.add(place)
    return found
