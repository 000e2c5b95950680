"""Random pruning: the control that every other pruner has to beat.

References
----------
Liu et al. (2022), The Unreasonable Effectiveness of Random Pruning, ICLR. Frankle, Dziugaite, Roy
& Carbin (2021), Pruning Neural Networks at Initialization: Why Are We Missing the Mark?, ICLR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.hyperparameters import changed
from mu.pruning.base import Pruner, PruningContext

if TYPE_CHECKING:
    from torch import nn

    from mu.masks import Mask


@dataclass(frozen=True)
class Random(Pruner):
    """Keep weights drawn at random, each with the same chance, whatever its layer."""

    name = "random"
    looks_at = "nothing"

    when: str = changed(Pruner, "when", "initial")

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; looks at neither weights nor data.

        The ranks of all weights are drawn, not those of the kept ones alone: with one seed,
        several rounds keep what one round to their last count would.
        """
        import torch

        from mu.pruning.scoring.ranking import keep_largest

        sizes = [mask[name].numel() for name in mask]
        ranks = torch.split(torch.randperm(mask.total, generator=context.draws), sizes)
        scores = {name: part.view(mask[name].shape) for name, part in zip(mask, ranks, strict=True)}
        return keep_largest(scores, mask, keep)
