"""Weights that training does not move, or not as fast: a gradient mask beside the pruning mask."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

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
    still
        Names of parameters that stay as they are: gradients are not computed at all.
    calm
        Names of modules that stay in evaluation mode, so that running statistics stay too.
    """

    def __init__(
        self,
        model: nn.Module,
        factors: Mapping[str, Tensor],
        still: Collection[str] = (),
        calm: Collection[str] = (),
    ) -> None:
        parameters = dict(model.named_parameters())
        self._model, self._calm = model, calm
        self._resting = [parameters[name] for name in still if parameters[name].requires_grad]
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

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """For the block, parameters that stay as they are have no gradient."""
        for parameter in self._resting:
            parameter.requires_grad_(False).grad = None
        try:
            yield
        finally:
            for parameter in self._resting:
                parameter.requires_grad_(True)

    def calm(self) -> None:
        """Put the modules that stay in evaluation mode into it; by name: they may be replaced."""
        for name in self._calm:
            self._model.get_submodule(name).training = False

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
