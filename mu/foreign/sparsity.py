"""The mask of a network that another program pruned, its scope, and the rate that it amounts to."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mu.errors import UserError
from mu.foreign import ENOUGH_ZEROS
from mu.masks import Mask
from mu.pruning.base import SCOPES, Pruner, prunable

RATE_TOLERANCE = 0.01


def mask_of(
    model: nn.Module, head: str | None, kept: Mapping[str, Tensor], scope: str | None, default: str
) -> tuple[Mask, str, str]:
    """The mask of a network, its scope, and in words where it comes from.

    Mask entries of the file are the mask; a prunable parameter without one keeps all. The scope is
    the smallest that covers them, unless one is asked for. Without any, weights that are exactly
    zero count as pruned where they are at least :data:`mu.foreign.ENOUGH_ZEROS` of the prunable
    ones. UserError if the scope does not cover what is pruned, or nothing is left. ``head``: name
    of its head, as :func:`mu.pruning.base.prunable` takes it. ``kept``: the masks in the file, by
    parameter. ``scope`` and ``default``: the scope that is asked for, and the smallest to try.
    """
    scopes = (scope,) if scope else SCOPES[SCOPES.index(default) :]
    pruned = [name for name in kept if not bool(kept[name].all())]
    covering = (one for one in scopes if {*pruned} <= {*prunable(model, one, head)})
    scope = next(covering, None)
    if scope is None:
        outside = next(name for name in pruned if name not in prunable(model, scopes[0], head))
        raise UserError(
            f"scope={scopes[0]} leaves out {outside!r}, which the file's mask prunes; leave scope "
            "out, or give a wider one"
        )
    names = prunable(model, scope, head)
    mask = dense = Mask.dense(model, names)
    if kept:
        mask = Mask({name: kept.get(name, dense[name]) for name in names})
        found = f"{len(kept)} mask entries"
    else:
        parameters = dict(model.named_parameters())
        zeros = Mask({name: parameters[name] != 0 for name in names})
        count = zeros.total - zeros.kept
        found = f"no mask entries, and {count:,} weights are exactly zero"
        if count >= ENOUGH_ZEROS * zeros.total:
            mask = zeros
        elif count:
            found += f", too few for a mask (below {100 * ENOUGH_ZEROS:g} %)"
    if mask.total and not mask.kept:
        raise UserError("every prunable weight of the file is zero; name another file")
    return mask, scope, f"{found}: {mask.kept:,} of {mask.total:,} prunable weights are kept"


def rate_of(pruner: Pruner, mask: Mask, requested: float | None) -> float:
    """The rate asked for, if the mask agrees, else the shortest that gives the mask's sparsity."""
    if requested is not None:
        keep = pruner.keeps(mask.total, pruner.rounds)
        if abs(keep - mask.kept) > RATE_TOLERANCE * mask.total:
            rounds = f" in {pruner.rounds} rounds" if pruner.rounds > 1 else ""
            raise UserError(
                f"rate={requested:g}{rounds} prunes {100 * (1 - keep / mask.total):.2f} % of the "
                f"weights, but {mask.sparsity:.2f} % of the file's are pruned; leave rate out, or "
                "name another file"
            )
        return requested
    if mask.is_dense:
        return 0.0
    share = float(1 - (mask.kept / mask.total) ** (1 / pruner.rounds))
    for digits in range(1, 16):
        short = round(share, digits)
        if 0 < short < 1:
            keep = pruner.replace(rate=short).keeps(mask.total, pruner.rounds)
            if abs(keep - mask.kept) <= pruner.rounds:  # each round rounds to whole weights
                return short
    return share
