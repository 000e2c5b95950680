"""What the entries of a state dict are: weights, masks of a pruning, and a normalisation.

``torch.nn.utils.prune`` keeps a pruned parameter NAME as ``NAME_orig`` with ``NAME_mask``. The
networks of the paper's repository begin with a layer ``normalize`` that holds mean and standard
deviation of the channels; in mu the normalisation belongs to the data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from mu.errors import UserError

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, of torch.compile
MEAN, STD = "normalize.mean", "normalize.std"


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of a state dict, sorted out.

    Parameters
    ----------
    weights
        By the names of an unwrapped network that is not under pruning.
    masks
        By the names of the parameters.
    normalisation
        Mean and standard deviation of the channels, if the network held them.
    prefix
        What all names began with, and was dropped.
    """

    weights: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    normalisation: tuple[Tensor, Tensor] | None
    prefix: str


def sort_out(tensors: Mapping[str, Tensor], own: Collection[str]) -> Entries:
    """Sort the entries of a state dict for a network whose own entries are named ``own``.

    Raises
    ------
    UserError
        If a mask is without weights, weights without their mask, or one of mean and
        standard deviation is missing.
    """
    prefix, plain = _without_prefix(tensors, own)
    weights: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        base = name.rpartition("_")[0]
        original, mask = f"{base}_orig", f"{base}_mask"
        if name not in own and name == original:
            if base in plain:
                raise UserError(f"the file has both {base!r} and {name!r}; keep one of them")
            if mask not in plain:
                raise UserError(
                    f"the file has {name!r} without {mask!r}; give the whole state dict"
                )
            weights[base] = tensor
        elif name not in own and name == mask and (base in plain or original in plain):
            masks[base] = tensor
        elif name not in own and name == mask and base in own:
            raise UserError(
                f"the file has the mask {name!r} without weights: neither {original!r} nor "
                f"{base!r} is there; give the whole state dict"
            )
        else:
            weights[name] = tensor
    found = [name for name in (MEAN, STD) if name in weights and name not in own]
    if len(found) == 1:
        raise UserError(f"the file has {found[0]!r}, but not both of {MEAN!r} and {STD!r}")
    normalisation = (weights.pop(MEAN), weights.pop(STD)) if found else None
    return Entries(weights, masks, normalisation, prefix)


def _without_prefix(
    tensors: Mapping[str, Tensor], own: Collection[str]
) -> tuple[str, dict[str, Tensor]]:
    """What all names begin with, though the network's own do not, and the entries without it."""
    dropped, found = "", dict(tensors)
    while prefix := next((one for one in PREFIXES if _all_begin(found, one)), ""):
        if _all_begin(own, prefix):
            break
        dropped += prefix
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return dropped, found


def _all_begin(names: Collection[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)
