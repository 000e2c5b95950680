"""Sharpness-aware minimisation: the gradient is taken where the loss nearby is worst.

One step at weights w with gradient g: go up to w + e, where e = rho g / |g| over all weights
together; take the gradient there; step from w with it. The adaptive form scales by the weights:
e = rho w^2 g / |w g|, so that it does not depend on their scale.

References
----------
Foret, Kleiner, Mobahi & Neyshabur (2021), Sharpness-Aware Minimization, ICLR, equation 2. Kwon,
Kim, Park & Choi (2021), ASAM, ICML, equation 9 (without its small constant).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

TINY = 1e-12  # where the gradient is zero there is no way up, and nothing to divide by


@contextmanager
def ascended(model: nn.Module, rho: float, *, adaptive: bool = False) -> Iterator[None]:
    """Have the weights of ``model`` at w + e for the block, by the gradients they have now.

    Weights without a gradient (pruned ones have zeros) stay where they are. Afterwards all are
    exactly what they were. Batch normalisation takes batches into its running statistics at w
    alone, so the block leaves these as they are.
    """
    moved: list[Tensor] = [one for one in model.parameters() if one.grad is not None]
    before = [one.detach().clone() for one in moved]
    frozen = [
        one for one in model.modules() if isinstance(one, _BatchNorm) and one.track_running_stats
    ]
    try:
        _ascend(moved, rho, adaptive)
        for module in frozen:
            module.track_running_stats = False
        yield
    finally:
        for module in frozen:
            module.track_running_stats = True
        if moved:
            with torch.no_grad():
                torch._foreach_copy_(moved, before)


@torch.no_grad()
def _ascend(parameters: list[Tensor], rho: float, adaptive: bool) -> None:
    """Add e to the parameters; the host does not wait for the device."""
    steps = [one.grad for one in parameters if one.grad is not None]
    if not steps:
        return
    sizes = [one.abs() for one in parameters] if adaptive else []
    if adaptive:
        steps = list(torch._foreach_mul(steps, sizes))
    scale = rho / torch.stack(torch._foreach_norm(steps)).norm().clamp_min(TINY)
    if adaptive:
        steps = list(torch._foreach_mul(steps, sizes))
    torch._foreach_add_(parameters, list(torch._foreach_mul(steps, scale)))
