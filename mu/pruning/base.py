"""What a pruner is, and which weights can be pruned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from mu.data.images import Subset
from mu.hyperparameters import Hyperparameters, setting
from mu.masks import Mask
from mu.runs import Run


@dataclass(frozen=True)
class Pruner(Hyperparameters, ABC):
    """A way of choosing the weights to keep; its fields are its settings."""

    rate: float = setting(
        0.95, help="share of the remaining weights to prune; 0 gives the dense original", low=0.0,
        below=1.0,
    )  # fmt: skip

    @abstractmethod
    def prune(self, model: nn.Module, mask: Mask, data: Subset, run: Run) -> Mask:
        """A mask that keeps a share ``1 - rate`` of what ``mask`` keeps, and nothing else.

        Parameters
        ----------
        model
            The network to look at; it is not changed.
        mask
            What earlier rounds kept.
        data
            Training samples, for pruners that look at gradients.
        """


def prunable(model: nn.Module) -> list[str]:
    """Names of the prunable parameters: weights of convolutions, linear layers and attention.

    The classifier head (the last linear layer), normalisation and biases are not prunable.
    """
    layers = (nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention)
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, layers)]
    head = next((name for name, module in reversed(found) if isinstance(module, nn.Linear)), None)
    return [
        f"{name}.{own}" if name else own
        for name, module in found
        if name != head
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1 and not own.startswith("bias")  # attention has bias_k, bias_v
    ]
