"""Weights that training does not move, or not as fast: a gradient mask beside the pruning mask."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Held:
    """Scales gradients, and keeps weights whose factor is zero as they are, bit for bit.

    Zero gradients alone would not keep them: weight decay and momentum move weights without any.

    Parameters
    ----------
    model
        As it is when weights are to be held.
    factors
        Of the gradients: tensors of the shape of their parameter, by its name. Parameters that
        are not named move freely.
    """

    def __init__(self, model: nn.Module, factors: Mapping[str, Tensor]) -> None:
        parameters = dict(model.named_parameters())
        self._parameters = [parameters[name] for name in factors]
        self._factors = [
            torch.empty_like(parameters[name], requires_grad=False).copy_(one)
            for name, one in factors.items()
        ]
        self._still = [
            (one, factor == 0, one.detach().clone())
            for one, factor in zip(self._parameters, self._factors, strict=True)
            if bool((factor == 0).any())
        ]

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Scale the gradients."""
        for parameter, factor in zip(self._parameters, self._factors, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    @torch.no_grad()
    def apply(self) -> None:
        """Put weights that do not move back to where they were."""
        for parameter, still, value in self._still:
            parameter.copy_(torch.where(still, value, parameter))
