"""Making a checkpoint of a file that another program wrote: what ``mu import`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data.images import ImageDataset, Statistics
from mu.errors import UserError
from mu.foreign import ENOUGH_ZEROS, VAL_SHARE
from mu.foreign.entries import Entries, sort_out
from mu.foreign.files import WeightFile, read_weight_file
from mu.foreign.fitting import fit, kept_weights
from mu.masks import Mask
from mu.originals.train import make_recipe
from mu.pruning.base import SCOPES, Pruner, prunable

RATE_TOLERANCE = 0.01
NEAR_CHANCE = 0.1  # of the way from chance to 100 %


@dataclass(frozen=True, eq=False)
class Imported:
    """An original that another program trained.

    Parameters
    ----------
    taken
        What was taken from the file, in words, by name.
    notes
        Remarks that the user should read.
    """

    checkpoint: Checkpoint
    file: WeightFile
    taken: Mapping[str, str]
    notes: tuple[str, ...]

    def warnings(self, dataset: ImageDataset, train_acc: float) -> list[str]:
        """What looks wrong in how well the network knows its training images."""
        parts = self.checkpoint.spec.split(dataset)
        labels = dataset.train.labels[torch.from_numpy(parts.train)]
        chance = 100 * float(labels.bincount().max()) / len(labels)
        if train_acc > chance + NEAR_CHANCE * (100 - chance):
            return []
        return [
            f"train_acc {train_acc:.2f} % is near chance ({chance:.2f} %): dataset, order of "
            "classes, mean and std, stem or arch is probably not the file's"
        ]


def import_original(
    file: WeightFile | Path | str,
    dataset: ImageDataset,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **settings: Any,
) -> Imported:
    """Read a checkpoint of the paper's repository, a state dict or a safetensors file.

    Parameters
    ----------
    file
        Its path, or what :func:`mu.foreign.files.read_weight_file` made of it.
    mean, std
        How the network wants its images normalised, per channel, of pixels scaled to 0-1, where
        the file does not say so and it is not by the data set's own numbers.
    **settings
        How it was trained and pruned, as in :func:`mu.originals.make_recipe`, so that Retrain
        can repeat it. ``rate`` and ``scope`` are by default those of the mask in the file, and
        ``val_share`` is 0.

    Raises
    ------
    UserError
        If the file cannot be read, does not fit the network, or contradicts a setting.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if not isinstance(file, WeightFile):
        file = read_weight_file(file)
    recipe = make_recipe(dataset, **{"val_share": VAL_SHARE, **given})
    model = recipe.model.build(recipe.seed)
    entries = sort_out(file.tensors, model.state_dict().keys())
    normalisation, whose = _normalisation(entries, dataset, mean, std)
    converted = fit(entries.weights, model, recipe.model, dataset.name)
    kept = kept_weights(entries.masks, model)
    pruner = recipe.make_pruner()
    mask, scope, found = mask_of(model, kept, given.get("scope"), pruner.scope)
    mask.apply(model)
    rate = _rate(pruner, mask, given.get("rate"))
    recipe = replace(
        recipe,
        pruning={**recipe.pruning, "rate": rate, "scope": scope},
        given_mask=None if mask.is_dense else mask.fingerprint,
    )
    data = replace(DataSpec.of(dataset), mean=normalisation[0], std=normalisation[1])
    spec = Spec(data, recipe, history=("imported",))
    images = len(spec.split(dataset).train)
    words = f"{len(entries.weights)} entries" + (f" under {file.key!r}" if file.key else "")
    words += f", without the prefix {entries.prefix!r}" if entries.prefix else ""
    taken = {
        "file": str(file.path),
        "weights": words,
        "masks": found,
        "mean, std": f"{_in_words(data.mean)}, {_in_words(data.std)} ({whose})",
    }
    notes = [f"weights of {kind} were converted to float32" for kind in converted]
    if "val_share" not in given:
        notes.append(
            f"val_share={VAL_SHARE:g}: nothing says which images were held out, so all {images:,} "
            "count as trained on; where it was trained on a split of mu, give val_share and "
            "split_seed"
        )
    return Imported(Checkpoint(model.eval(), mask, spec), file, taken, tuple(notes))


def mask_of(
    model: nn.Module, kept: Mapping[str, Tensor], scope: str | None, default: str
) -> tuple[Mask, str, str]:
    """The mask of a network, its scope, and in words where it comes from.

    Mask entries of the file are the mask; a prunable parameter without one keeps all. The scope
    is the smallest that covers them, unless one is asked for. Without any, weights that are
    exactly zero count as pruned where they are at least :data:`mu.foreign.ENOUGH_ZEROS` of the
    prunable ones.

    Parameters
    ----------
    kept
        The masks in the file, by parameter.
    scope, default
        The scope that is asked for, and the smallest to try.

    Raises
    ------
    UserError
        If the scope does not cover what is pruned, or nothing is left.
    """
    scopes = (scope,) if scope else SCOPES[SCOPES.index(default) :]
    pruned = [name for name in kept if not bool(kept[name].all())]
    covering = (one for one in scopes if {*pruned} <= {*prunable(model, one)})
    scope = next(covering, None)
    if scope is None:
        outside = next(name for name in pruned if name not in prunable(model, scopes[0]))
        raise UserError(
            f"scope={scopes[0]} leaves out {outside!r}, which the file's mask prunes; leave scope "
            "out, or give a wider one"
        )
    names = prunable(model, scope)
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


def _rate(pruner: Pruner, mask: Mask, requested: float | None) -> float:
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


# --- normalisation ------------------------------------------------------------------------


def _normalisation(
    entries: Entries,
    dataset: ImageDataset,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> tuple[Statistics, str]:
    """Mean and standard deviation per channel, and whose they are."""
    if (mean is None) != (std is None):
        raise UserError("give mean and std together, or neither")
    if entries.normalisation is not None:
        if mean is not None:
            raise UserError("the file brings its own normalisation; leave mean and std out")
        (its_mean, its_std), whose = entries.normalisation, "of the file"
    elif mean is not None and std is not None:
        its_mean, its_std = (torch.tensor([*one], dtype=torch.float64) for one in (mean, std))
        whose = "as given"
    else:
        return (dataset.mean, dataset.std), "of the data set"
    channels = dataset.shape[0]
    found = _numbers("mean", its_mean, channels, -inf), _numbers("std", its_std, channels, 0.0)
    return found, whose


def _numbers(name: str, values: Tensor, channels: int, above: float) -> tuple[float, ...]:
    """One finite number per channel, each above ``above``."""
    if values.numel() != channels:
        raise UserError(
            f"the normalisation's {name} is for {values.numel()} channels, but the images have "
            f"{channels}; name the dataset that the file was trained on"
        )
    found = tuple(map(float, values.flatten().tolist()))
    if not all(isfinite(one) and one > above for one in found):
        raise UserError(
            f"the normalisation's {name} is {_in_words(found)}; its numbers must be finite, and "
            "those of std above 0"
        )
    return found


def _in_words(values: Sequence[float]) -> str:
    return " ".join(f"{one:.4g}" for one in values)
