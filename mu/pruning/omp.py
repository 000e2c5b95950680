"""OMP: one-shot magnitude pruning, global over all prunable weights.

References
----------
Ma et al. (2021), Sanity Checks for Lottery Tickets, NeurIPS; as used by Jia et al. (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mu.data.images import Subset
from mu.masks import Mask
from mu.pruning.base import Pruner
from mu.runs import Run


@dataclass(frozen=True)
class OMP(Pruner):
    """Keep the weights of the largest magnitude."""

    def prune(self, model: nn.Module, mask: Mask, data: Subset, run: Run) -> Mask:
        """See :meth:`Pruner.prune`; looks at the weights alone."""
        weights = dict(model.named_parameters())
        return keep_largest({name: weights[name].detach().abs() for name in mask}, mask, self.rate)


def keep_largest(scores: dict[str, Tensor], mask: Mask, rate: float) -> Mask:
    """Keep the best-scored share ``1 - rate`` of what ``mask`` keeps, over all layers at once.

    Exact to one weight, ties included: of equal scores, those that come first are pruned first.
    """
    names = list(mask)
    flat = torch.cat([scores[name].reshape(-1).cpu() for name in names])
    kept = torch.cat([mask[name].reshape(-1) for name in names])
    candidates = kept.nonzero().squeeze(1)
    order = torch.sort(flat[candidates], stable=True).indices
    kept[candidates[order[: round(rate * len(candidates))]]] = False
    parts = torch.split(kept, [mask[name].numel() for name in names])
    return Mask({n: part.view(mask[n].shape) for n, part in zip(names, parts, strict=True)})
