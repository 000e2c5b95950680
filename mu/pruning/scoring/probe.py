"""A network under its mask and training samples to look at: what SNIP and GraSP differentiate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Indices, Subset
from mu.masks import Mask
from mu.pruning.base import PruningContext

BATCH_SIZE = 128


class Probe:
    """The loss of a masked network on a few training samples, as a function of its weights.

    The network is a copy, on the run's device, with the pruned weights at zero. Normalisation uses
    the statistics of the batch, as in training: fresh running statistics say nothing yet. Dropout
    and stochastic depth are off: the whole network is scored, not a draw from it. All is float32,
    nothing autocast: bfloat16's three digits are too few to rank millions by. (float64 would cost
    several times as much, and change the choice far less than another draw of samples does.)
    ``samples``: how many to look at, the same number of each class as far as there are enough.
    ``temperature``: divides the logits.
    """

    def __init__(
        self,
        model: nn.Module,
        mask: Mask,
        context: PruningContext,
        samples: int,
        temperature: float = 1.0,
    ) -> None:
        placed = context.run.place(copy.deepcopy(model), context.data.images.shape)
        placed.requires_grad_(True).eval()
        mask.apply(placed)
        self._model = exchanged(
            placed, lambda part: Hardsigmoid() if isinstance(part, nn.Hardsigmoid) else part
        )
        for module in self._model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
        chosen = context.data.indices[balanced(context.data, samples, context.draws)]
        subset = Subset(context.data.images, chosen, context.data.mean, context.data.std)
        self._batches = Batches(subset, BATCH_SIZE, context.run.device)
        self._temperature = temperature
        self.parameters = dict(self._model.named_parameters())

    def losses(self) -> Iterator[Tensor]:
        """Parts, one a batch, whose sum is the mean cross-entropy of all samples.

        Only one batch's activations are held at a time.
        """
        for images, labels in self._batches.in_order():
            logits = self._model(images) / self._temperature
            yield F.cross_entropy(logits, labels, reduction="sum") / self._batches.samples

    def gradient(self, names: list[str]) -> dict[str, Tensor]:
        """The gradient of the loss by the parameters ``names``."""
        return self.summed(self.losses(), names)

    def summed(self, values: Iterator[Tensor], names: list[str]) -> dict[str, Tensor]:
        """The gradient of the sum of ``values`` by the parameters ``names``."""
        weights = [self.parameters[name] for name in names]
        sums = [torch.zeros_like(weight) for weight in weights]
        for value in values:
            torch._foreach_add_(
                sums, torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True)
            )
        return dict(zip(names, sums, strict=True))


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


def balanced(data: Subset, count: int, draws: torch.Generator) -> Indices:
    """Places in ``data`` of ``count`` samples drawn evenly over its classes.

    The classes take turns, so that every batch of them is balanced, too.
    """
    order = torch.randperm(len(data), generator=draws).numpy()
    labels = data.labels.numpy()[order]
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class])
    turn = np.empty(len(order), np.int64)
    turn[by_class] = np.arange(len(order)) - starts
    chosen: Indices = order[np.argsort(turn, kind="stable")[:count]]
    return chosen


class Hardsigmoid(nn.Module):
    """``nn.Hardsigmoid``, of operations that have a second derivative."""

    def forward(self, signal: Tensor) -> Tensor:
        """Of the same shape, between zero and one."""
        return (signal + 3).clamp(0, 6) / 6
