"""Weights that several layers of a network share: one parameter under several names."""

from __future__ import annotations

from itertools import chain, pairwise

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mu.errors import UserError


def second_names(model: nn.Module) -> dict[str, str]:
    """Further names of parameters and buffers, each with the first, which masks are bound to."""
    found: dict[str, str] = {}
    for every in (model.named_parameters, model.named_buffers):
        first: dict[int, str] = {}
        for name, one in every(remove_duplicate=False):
            if first.setdefault(id(one), name) != name:
                found[name] = first[id(one)]
    return found


def check_shared(model: nn.Module, arch: str) -> None:
    """Refuse different parameters or buffers that lie in the same memory.

    They are one only until the network is copied or moved; a parameter that is used in several
    places stays one. UserError names two of them.
    """
    named = chain(model.named_parameters(), model.named_buffers())
    spans = sorted((*_span(one), name) for name, one in named if not is_lazy(one) and one.numel())
    for (_, end, one), (start, _, other) in pairwise(spans):
        if start < end:
            raise UserError(
                f"arch {arch}: {one!r} and {other!r} are different tensors in the same memory, "
                "which a copy would part; use one nn.Parameter in both places"
            )


def _span(tensor: Tensor) -> tuple[int, int]:
    """First and last address that a tensor takes up, the last one excluded."""
    extent = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return start, start + (1 + extent) * tensor.element_size()
