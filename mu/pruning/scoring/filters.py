"""Ranking whole filters by their norms: see :mod:`mu.pruning.channel`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mu.errors import UserError
from mu.masks import Mask


def without_weakest_filters(model: nn.Module, mask: Mask, keep: int) -> Mask:
    """Of the weights that ``mask`` keeps, about ``keep``, as near as whole filters allow."""
    weights = dict(model.named_parameters())
    kept = {name: _filters(mask[name]) for name in mask}
    sizes = [kept[name].sum(1) for name in mask]
    norms = [_norms(weights[name].detach().cpu(), kept[name]) for name in mask]
    gone = _weakest(norms, sizes, mask.kept - keep)
    for name, filters in zip(mask, torch.split(gone, [*map(len, sizes)]), strict=True):
        kept[name][filters] = False
    return Mask({name: kept[name].view(mask[name].shape) for name in mask})


def _filters(tensor: Tensor) -> Tensor:
    """A row for each filter; a single number is one."""
    return tensor.reshape(len(tensor) if tensor.ndim else 1, -1)


def _norms(weights: Tensor, kept: Tensor) -> Tensor:
    """The L1 norm of each filter's kept weights."""
    return torch.where(kept, _filters(weights).abs(), 0.0).sum(1, dtype=torch.float64)


def _weakest(norms: list[Tensor], sizes: list[Tensor], count: int) -> Tensor:
    """Which filters, of all layers in turn, go: those with nearest to ``count`` weights in all.

    Parameters
    ----------
    norms, sizes
        For each layer, L1 norms of its filters and the number of weights that they have left.
    """
    pairs = list(zip(norms, sizes, strict=True))
    strengths = torch.cat([_relative(norm, size > 0) for norm, size in pairs])
    if not bool(torch.isfinite(strengths).all()):
        raise UserError("the norms of filters are not finite numbers; the network has diverged")
    last = torch.cat([_strongest(norm, size > 0) for norm, size in pairs])
    order = strengths.argsort(stable=True)
    order = order[last[order].int().argsort(stable=True)]
    removed = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(sizes)[order].cumsum(0)])
    gone = torch.zeros(len(order), dtype=torch.bool)
    gone[order[: int((removed - count).abs().argmin())]] = True
    return gone


def _relative(norms: Tensor, remaining: Tensor) -> Tensor:
    """Norms beside the mean of the filters that remain; zeros in a layer of zeros."""
    mean = norms.sum() / max(1, int(remaining.sum()))
    return norms if mean == 0 else norms / mean


def _strongest(norms: Tensor, remaining: Tensor) -> Tensor:
    """True for the strongest of the filters that remain, if one does."""
    candidates = norms.masked_fill(~remaining, -1.0)
    return remaining & (torch.arange(len(norms)) == candidates.argmax())
