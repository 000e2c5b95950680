"""Keeping the best-scored weights, over all layers at once and exact to one weight."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mu.errors import UserError
from mu.masks import Mask


def keep_largest(scores: Mapping[str, Tensor], mask: Mask, keep: int) -> Mask:
    """Of the weights that ``mask`` keeps, the ``keep`` with the largest scores.

    Exact to one weight, ties included: of equal scores, those that come first are pruned first.
    UserError if a score is not a number: the network's outputs or gradients overflowed. ``scores``:
    by parameter name, each of the parameter's shape.
    """
    names = list(mask)
    flat = torch.cat([scores[name].detach().reshape(-1).cpu() for name in names])
    kept = torch.cat([mask[name].reshape(-1) for name in names])
    candidates = kept.nonzero().squeeze(1)
    values = flat[candidates]
    if not bool(torch.isfinite(values).all()):
        raise UserError("the pruner's scores are not finite numbers; the network has diverged")
    kept[candidates[_smallest(values, len(candidates) - keep)]] = False
    parts = torch.split(kept, [mask[name].numel() for name in names])
    return Mask({n: part.view(mask[n].shape) for n, part in zip(names, parts, strict=True)})


def _smallest(values: Tensor, count: int) -> Tensor:
    """Places of the ``count`` smallest values, by selection: a sort of millions takes seconds."""
    if count == 0:
        return torch.empty(0, dtype=torch.long)
    limit = values.kthvalue(count).values
    below = (values < limit).nonzero().squeeze(1)
    equal = (values == limit).nonzero().squeeze(1)
    return torch.cat([below, equal[: count - len(below)]])
