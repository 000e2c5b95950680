"""Magnitude pruning, global over all prunable weights: OMP in one shot, IMP in rounds.

References
----------
Frankle & Carbin (2019), The Lottery Ticket Hypothesis, ICLR. Ma et al. (2021), Sanity Checks for
Lottery Tickets, NeurIPS; as used by Jia et al. (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.errors import UserError
from mu.hyperparameters import changed
from mu.pruning.base import Pruner, PruningContext

if TYPE_CHECKING:
    from torch import nn

    from mu.masks import Mask


@dataclass(frozen=True)
class IMP(Pruner):
    """Keep the weights of the largest magnitude, a little fewer in each round."""

    name = "imp"

    rate: float = changed(Pruner, "rate", 0.2)
    rounds: int = changed(Pruner, "rounds", 5)

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; looks at the weights alone."""
        from mu.pruning.scoring.ranking import keep_largest

        weights = dict(model.named_parameters())
        return keep_largest({name: weights[name].abs() for name in mask}, mask, keep)


@dataclass(frozen=True)
class OMP(IMP):
    """Keep the weights of the largest magnitude, in one shot."""

    name = "omp"

    rate: float = changed(Pruner, "rate", 0.95)
    rounds: int = changed(Pruner, "rounds", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds != 1:
            raise UserError(f"rounds={self.rounds}: omp prunes in one round; use pruner=imp")
