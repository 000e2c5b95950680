"""SynFlow: keep the weights that carry the most flow, found step by step and without data.

References
----------
Tanaka, Kunin, Yamins & Ganguli (2020), Pruning Neural Networks Without Any Data by Iteratively
Conserving Synaptic Flow, NeurIPS, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.hyperparameters import changed, setting
from mu.pruning.base import Pruner, PruningContext

if TYPE_CHECKING:
    from torch import nn

    from mu.masks import Mask


@dataclass(frozen=True)
class SynFlow(Pruner):
    """Keep the weights with the largest sums of paths through them, a little fewer each time.

    A layer's sums add up to the same total as any other's, so the weights of a layer that has
    few left have large ones: they stay.
    """

    name = "synflow"

    when: str = changed(Pruner, "when", "initial")
    iterations: int = setting(100, help="steps in which each round prunes", low=1, high=100_000)

    def choose(self, model: nn.Module, mask: Mask, keep: int, context: PruningContext) -> Mask:
        """See :meth:`Pruner.choose`; of the data, looks at the shape alone."""
        import torch

        from mu.pruning.scoring.linearised import Twin
        from mu.pruning.scoring.ranking import keep_largest

        device = context.run.device
        shape = context.data.images.shape
        ones = torch.ones(1, *shape, dtype=torch.float64, device=device)
        twin = Twin(model, mask, device)
        for count in exponential(mask.kept, keep, self.iterations):
            if count < mask.kept:
                mask = keep_largest(twin.path_sums(ones, list(mask)), mask, count)
                twin.prune(mask)
        return mask


def exponential(start: int, end: int, steps: int) -> Iterator[int]:
    """Counts after each of ``steps`` that fall from ``start`` to ``end`` by the same share."""
    for step in range(1, steps):
        yield round(start * (end / start) ** (step / steps))
    yield end
