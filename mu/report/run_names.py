"""Names of runs, as the runs table shows them: what tells a run from those around it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from mu.data import IN_FILES
from mu.recipes.profile import DEFAULT_PROFILE, profile

if TYPE_CHECKING:  # looking at runs loads no torch
    from mu.checkpoints import Spec
    from mu.recipes.recipe import Recipe

MOST = 31  # letters, of which MLflow's table shows nearly all: `l1_sparse · class:0 · 95 % · s0`
BETWEEN = " · "
ID_SHOWN = 8  # digits of a run's ID that tell it from others


def run_name(*parts: str) -> str:
    """The parts that say something, with the longest cut where all are too long for a table."""
    said = [part for part in parts if part]
    while (over := len(BETWEEN.join(said)) - MOST) > 0:
        longest = max(range(len(said)), key=lambda place: len(said[place]))
        keep = max(len(said[longest]) - over - 1, 4)
        if keep >= len(said[longest]) - 1:
            return BETWEEN.join(said)[:MOST]
        said[longest] = said[longest][:keep] + "…"
    return BETWEEN.join(said)


def name_original(spec: Spec, sparsity: float | None = None) -> str:
    """``resnet18 · imp · 67.2 % · s0``, with what was planted in its data.

    ``sparsity``: in percent, where a mask is known; else what the recipe comes to.
    """
    recipe = spec.recipe
    pruner = recipe.make_pruner()
    chosen = recipe.pruner != profile(recipe.profile).pruner
    return run_name(
        recipe.model.arch.partition(":")[2] or recipe.model.arch,
        recipe.profile if recipe.profile != DEFAULT_PROFILE else "",
        recipe.pruner if chosen and pruner.rate else "",
        "given mask" if recipe.given_mask else "",
        spec.data.poison.brief if spec.data.poison else "",
        percent(recipe, sparsity),
        f"s{recipe.seed}",
    )


def name_unlearning(
    method: str,
    forget: str,
    spec: Spec,
    seed: int,
    *,
    preset: str | None = None,
    sparsity: float | None = None,
    count: int | None = None,
) -> str:
    """``l1_sparse · class:0 · 95 % · s1``; with other seeds of original and unlearning, ``s0/1``.

    ``spec``, ``sparsity``: of the original. ``count``: of the forgotten samples, where it is known.
    """
    recipe = spec.recipe
    return run_name(
        f"{method}/{preset}" if preset else method,
        brief_forget(forget, count),
        percent(recipe, sparsity),
        f"s{seed}" if seed == recipe.seed else f"s{recipe.seed}/{seed}",
    )


def percent(recipe: Recipe, sparsity: float | None = None) -> str:
    """``95 %``; ``dense`` where nothing is pruned."""
    pruner = recipe.make_pruner()
    found = 100 * (1 - (1 - pruner.rate) ** pruner.rounds) if sparsity is None else sparsity
    return f"{found:.3g} %" if found else "dense"


def brief_forget(request: str, count: int | None = None) -> str:
    """A forget set in a few letters: of a list its file and length, of a run its ID's beginning."""
    kind, _, rest = request.partition(":")
    if kind in IN_FILES:
        return PurePath(rest).name + (f":{count}" if count else "")
    return ":".join(part[:ID_SHOWN] if len(part) == 32 else part for part in request.split(":"))
