"""Networks with other parts in the place of some of theirs."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def exchanged(module: nn.Module, other: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """``module`` with ``other(part)`` for each part, inner ones first; changed in place.

    A part that stands in several places is exchanged in all of them for the same one.
    """
    done: dict[nn.Module, nn.Module] = {}

    def visit(one: nn.Module) -> nn.Module:
        if one not in done:
            for name, child in one._modules.items():
                if child is not None:
                    setattr(one, name, visit(child))
            done[one] = other(one)
        return done[one]

    return visit(module)
