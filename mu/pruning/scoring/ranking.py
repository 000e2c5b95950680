"""Keeping the best weights over all layers at once: by their scores, or filter by filter."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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


def without_weakest_filters(model: nn.Module, mask: Mask, keep: int) -> Mask:
    """Of the weights that ``mask`` keeps, about ``keep``, as near as whole filters allow.

    The strongest filter of a layer goes after all that are not the strongest of theirs.
    """
    weights = dict(model.named_parameters())
    kept: dict[str, Tensor] = {}
    sizes, strengths, strongest = [], [], []
    for name in mask:
        kept[name] = _filters(mask[name])
        sizes.append(kept[name].sum(1))
        remain = sizes[-1] > 0
        values = _filters(weights[name].detach().cpu()).abs()
        norms = torch.where(kept[name], values, 0.0).sum(1, dtype=torch.float64)
        mean = norms.sum() / max(1, int(remain.sum()))
        strengths.append(norms if mean == 0 else norms / mean)
        best = norms.masked_fill(~remain, -1.0).argmax()
        strongest.append(remain & (torch.arange(len(norms)) == best))
    order = torch.cat(strengths)
    if not bool(torch.isfinite(order).all()):
        raise UserError("the norms of filters are not finite numbers; the network has diverged")
    order = order.argsort(stable=True)
    order = order[torch.cat(strongest)[order].int().argsort(stable=True)]
    removed = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(sizes)[order].cumsum(0)])
    gone = torch.zeros(len(order), dtype=torch.bool)
    gone[order[: int((removed - (mask.kept - keep)).abs().argmin())]] = True
    for name, filters in zip(mask, torch.split(gone, [*map(len, sizes)]), strict=True):
        kept[name][filters] = False
    return Mask({name: kept[name].view(mask[name].shape) for name in mask})


def _filters(tensor: Tensor) -> Tensor:
    """A row for each filter; a single number is one."""
    return tensor.reshape(len(tensor) if tensor.ndim else 1, -1)
