"""Weights that training does not move, or not as fast: a gradient mask beside the pruning mask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from mu.models.blocks import first_layer
from mu.runs import Run
from mu.training.recipe import Training


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

    def begin(self, epoch: int) -> None:  # noqa: ARG002
        """At any epoch, put modules into evaluation mode; by name: they may be replaced."""
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


class FirstLayer:
    """The first layer, which is trained in the first epochs alone, and then stays bit for bit.

    Where no gradient of it is needed, none of what it gives is, either: that is the larger part of
    what an epoch saves.

    Parameters
    ----------
    epochs
        In which it is trained.
    images
        Two are enough: which layer is the first is found by a forward pass.
    spares
        Whether gradients are not even computed then. Where several processes average theirs, they
        have to be: which ones come is settled before the first step.
    """

    def __init__(self, model: nn.Module, epochs: int, images: Tensor, *, spares: bool) -> None:
        layer = first_layer(model, images)
        self._parameters = [one for one in layer if one.requires_grad]
        self._epochs, self._spares, self._rests = epochs, spares, False

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """For the block; afterwards its parameters have gradients again."""
        try:
            yield
        finally:
            for parameter in self._parameters:
                parameter.requires_grad_(True)

    def begin(self, epoch: int) -> None:
        """Know which epoch begins."""
        self._rests = epoch >= self._epochs
        for parameter in self._parameters:
            parameter.requires_grad_(not (self._rests and self._spares))
        self.mask_gradients()

    def mask_gradients(self) -> None:
        """Drop the gradients of what stays: optimisers pass over it."""
        if self._rests:
            for parameter in self._parameters:
                parameter.grad = None

    def apply(self) -> None:
        """Nothing has moved."""


Hold = Held | FirstLayer


def all_holds(
    model: nn.Module,
    training: Training,
    held: Held | None,
    few: Callable[[], tuple[Tensor, Tensor]],
    run: Run,
) -> list[Hold]:
    """What keeps weights as they are in a training; ``few`` gives images, and labels."""
    found: list[Hold] = [] if held is None else [held]
    if training.first_layer_epochs is not None:
        epochs, spares = training.first_layer_epochs, run.ranks.size == 1
        found.append(FirstLayer(model, epochs, few()[0], spares=spares))
    return found


@contextmanager
def at_rest(holds: Sequence[Hold]) -> Iterator[None]:
    """The block in which they all are in force."""
    with ExitStack() as stack:
        for one in holds:
            stack.enter_context(one.at_rest())
        yield
