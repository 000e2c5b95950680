"""Networks with other parts in the place of some of their own."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def exchanged(module: nn.Module, other: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """``module`` with ``other(part)`` for each part, inner ones first; changed in place."""
    for name, child in list(module.named_children()):
        setattr(module, name, exchanged(child, other))
    return other(module)
