"""What an import takes for granted: the recipe that Retrain repeats, and what was given of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mu.data.splits import SplitSpec
from mu.foreign.entries import Normalisation
from mu.foreign.places import OTHER
from mu.recipes.recipe import Recipe
from mu.training.recipe import Training

GIVEN, ASSUMED = "given", "assumed"
# What training programs call a setting; their arguments and optimisers are often in the file.
ALIASES = {
    "epochs": ("epochs", "max_epochs", "num_epochs", "epoch"),
    "lr": ("initial_lr", "base_lr", "lr", "learning_rate"),
    "batch_size": ("batch_size",),
    "momentum": ("momentum",),
    "weight_decay": ("weight_decay", "wd"),
    "label_smoothing": ("label_smoothing", "smoothing"),
    "optimizer": ("opt", "optimizer"),
    "seed": ("seed",),
}
_PLAIN = re.compile(r"[\w.+-]{1,40}")


class Assumption(NamedTuple):
    """A setting of the original, its value, and whether it was given."""

    name: str
    value: str
    source: str


def assumptions_of(
    recipe: Recipe,
    normalisation: Normalisation,
    sources: Mapping[str, str],
    values: Mapping[str, Any],
) -> list[Assumption]:
    """Every setting that later steps go by, pruning apart, which Retrain does not repeat.

    ``sources``: where settings come from that are not assumed. ``values``: what the file holds
    beside tensors, by name.
    """
    settings, told = recipe.settings(), _told(values)
    names = ["arch", "stem", "profile", *Training.names(), *SplitSpec.names(), "trained_on", "seed"]
    found = [
        Assumption(
            name, _short(settings[name]), sources.get(name) or _source(name, settings[name], told)
        )
        for name in names
        if settings.get(name) is not None
    ]
    return [Assumption("mean, std", normalisation.in_words(), normalisation.whose), *found]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _told(values: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """What a file says of the training, with its place, by alias; an optimiser's word is last."""
    aliases = {alias for names in ALIASES.values() for alias in names}
    found = [
        (place.rpartition(".")[2], place, value)
        for place, value in values.items()
        if place.rpartition(".")[2] in aliases and _is_plain(value)
    ]
    found.sort(key=lambda one: bool(OTHER.search(one[1])))
    return {alias: (place, value) for alias, place, value in reversed(found)}


def _source(name: str, value: Any, told: Mapping[str, tuple[str, Any]]) -> str:
    """That a value is assumed, and what the file has."""
    aliases = [alias for alias in ALIASES.get(name, ()) if alias in told]
    if not aliases:
        return ASSUMED
    place, one = min((told[alias] for alias in aliases), key=lambda one: bool(OTHER.search(one[0])))
    if one == value or f"{one}".lower() == f"{value}".lower():
        return f"{ASSUMED}, as in the file"
    return f"{ASSUMED}; the file has {place}={_short(one)}"


def _is_plain(value: Any) -> bool:
    return type(value) in (int, float) or (isinstance(value, str) and bool(_PLAIN.fullmatch(value)))
