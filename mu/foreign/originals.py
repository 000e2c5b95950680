"""Making a checkpoint of a file that another program wrote: what ``mu import`` does."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data.forget_request import ForgetRequest
from mu.data.images import ImageDataset
from mu.data.ranges import to_ranges
from mu.data.splits import Split
from mu.foreign import VAL_SHARE
from mu.foreign.assumptions import GIVEN, Assumption, assumptions_of
from mu.foreign.entries import Entries, Normalisation, normalisation_of
from mu.foreign.files import WeightFile, read_weight_file
from mu.foreign.fitting import entries_in, fit, kept_weights
from mu.foreign.places import Found, in_words, shown
from mu.foreign.sparsity import mask_of, rate_of
from mu.foreign.trial import PRESENT, SURE, TRAINED, doubt_augmentation, try_usual, usual
from mu.masks import Mask
from mu.models.head import head_name
from mu.originals.train import make_recipe
from mu.recipes.recipe import Recipe
from mu.runs import Run

LISTS = ("indices:", "files:")  # what may stand before the name of a list


@dataclass(frozen=True, eq=False)
class Imported:
    """An original that another program trained."""

    checkpoint: Checkpoint
    file: WeightFile
    taken: Mapping[str, str]  # what was taken from the file, in words, by name
    # The recipe that Retrain repeats: what was given of it, and what was not.
    assumptions: Sequence[Assumption]
    notes: Sequence[str]  # remarks that the user should read
    normalisation: Normalisation

    def warnings(
        self, dataset: ImageDataset, train_acc: float, run: Run, command: str | None = None
    ) -> list[str]:
        """What looks wrong in how well the network knows its training images.

        Where it knows few of them, the usual normalisations are tried; where it knows most, whether
        it knows them mirrored and shifted, too, if such an augmentation is assumed. ``dataset``:
        with its published normalisation. ``train_acc``: percent. ``command``: what imports the file
        again, without mean and std.
        """
        spec, model = self.checkpoint.spec, self.checkpoint.model
        images = spec.data.bind(dataset).training_subset(spec.split(dataset).train)
        found: list[str | None] = []
        if train_acc < SURE:
            others = {} if self.normalisation.of_file else usual(dataset)
            if self.normalisation.whose.startswith(GIVEN):  # to be given again
                others[PRESENT] = images.mean, images.std
            trial = try_usual(model, images, dataset.classes, others, run)
            again = command or f"mu import {shlex.quote(str(self.file.path))}"
            found.append(trial.warning(train_acc, images.labels, others, again))
        augment = next(one for one in self.assumptions if one.name == "augment")
        if train_acc >= TRAINED and augment.source != GIVEN and not any(found):
            found.append(doubt_augmentation(model, images, augment.value, run))
        return [one for one in found if one]


def import_original(
    file: WeightFile | Path | str,
    dataset: ImageDataset,
    *,
    key: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    trained_on: str | None = None,
    **settings: Any,
) -> Imported:
    """Read a checkpoint of the paper's repository, a state dict or a safetensors file.

    UserError if the file cannot be read, does not fit the network, or contradicts a setting.

    Parameters
    ----------
    file
        Its path, or what :func:`mu.foreign.files.read_weight_file` made of it.
    key
        Which weights of the file, where it holds several: ``state_dict_ema``.
    mean, std
        How the network wants its images normalised, per channel, of pixels scaled to 0-1, where
        the file does not say so and it is not by the data set's own numbers.
    trained_on
        What it was trained on: a file of sample numbers (npy, csv or txt), or ``files:LIST``. All
        others count as validation, or as unused where ``val_share`` says less.
    **settings
        How it was trained and pruned, as in :func:`mu.originals.make_recipe`, so that Retrain
        can repeat it. ``rate`` and ``scope`` are by default those of the mask in the file, and
        ``val_share`` is 0.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if not isinstance(file, WeightFile):
        file = read_weight_file(file)
    recipe = make_recipe(dataset, **{"val_share": VAL_SHARE, **given})
    if trained_on is not None:
        recipe = _trained_on(recipe, trained_on, dataset, given)
    model = recipe.model.build(recipe.seed)
    found, entries = entries_in(file, model.state_dict(), key)
    normalisation = normalisation_of(entries, dataset, mean, std)
    converted = fit(entries, model, recipe.model, dataset.name, partial(entries_in, file, key=key))
    recipe, mask, words = _pruned(recipe, model, entries, given)
    data = replace(DataSpec.of(dataset), mean=normalisation.mean, std=normalisation.std)
    spec = Spec(data, recipe, history=("imported",))
    parts = spec.split(dataset)
    place = f" under {shown(found.place)!r}" if found.place else ""
    taken = {
        "file": str(file.path),
        "weights": f"{len(entries.weights)} entries{place}",
        "masks": words,
        "split": f"{len(parts.train):,} images trained on, {len(parts.val):,} for validation, "
        f"{len(parts.unused):,} unused",
    }
    notes = [
        *_about_file(found, entries, file.values),
        *(f"weights of {one} were converted to float32" for one in converted),
    ]
    if trained_on is None and "val_share" not in given:
        notes.append(
            f"val_share={VAL_SHARE:g}: nothing says which images were held out, so all "
            f"{len(parts.train):,} count as trained on; give trained_on=FILE, a list of sample "
            "numbers, or where it was trained on a split of mu val_share and split_seed"
        )
    sources = {"trained_on": GIVEN, "val_share": "the others"} if trained_on is not None else {}
    sources |= dict.fromkeys(given, GIVEN)
    table = assumptions_of(recipe, normalisation, sources, file.values)
    return Imported(Checkpoint(model.eval(), mask, spec), file, taken, table, notes, normalisation)


def _trained_on(
    recipe: Recipe, text: str, dataset: ImageDataset, given: Mapping[str, Any]
) -> Recipe:
    """The recipe of an original whose training samples are listed."""
    listed = text if text.startswith(LISTS) else f"{LISTS[0]}{text}"
    size, none = len(dataset.train), np.array([], np.int64)
    whole = Split(np.arange(size), none, none)
    numbers = ForgetRequest.parse(listed, "trained_on").select(dataset, whole, 0)
    share = given.get("val_share", (size - len(numbers)) / size)
    return replace(
        recipe, trained_on=to_ranges(numbers), split=recipe.split.replace(val_share=share)
    )


def _pruned(
    recipe: Recipe, model: nn.Module, entries: Entries, given: Mapping[str, Any]
) -> tuple[Recipe, Mask, str]:
    """The recipe with what the mask says of it, the mask, and in words where that comes from."""
    pruner = recipe.make_pruner()
    kept = kept_weights(entries.masks, model)
    head = head_name(model, recipe.model)
    mask, scope, words = mask_of(model, head, kept, given.get("scope"), pruner.scope)
    mask.apply(model)
    pruning = {**recipe.pruning, "rate": rate_of(pruner, mask, given.get("rate")), "scope": scope}
    made = None if mask.is_dense else mask.fingerprint
    return replace(recipe, pruning=pruning, given_mask=made), mask, words


def _about_file(found: Found, entries: Entries, values: Mapping[str, Any]) -> Iterator[str]:
    place = shown(found.place) or "the top of the file"
    for one in found.others:
        yield f"{place} taken; {one or 'another set'} is there too: key={one}"
    left = [found.place + name for name in entries.numbers]
    left += [name for name in found.left if name not in entries.names]
    if words := in_words(found.place, left, values):
        yield f"also in the file, and not read: {', '.join(words)}"
