"""The recipes: each with each scale is a grid, and the claims are of their runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mu.cli.requests import Request
from mu.tasks.claims.document import read_claims
from mu.tasks.claims.run import claims
from mu.tasks.sweep.grid import Grid, load_yaml, read_grid
from tests.helpers import refused

PAPER = Path(__file__).parents[2] / "paper"
CLAIMS = [PAPER / "claims.yaml", PAPER / "pruning_helps.yaml"]
ONE_SEED = PAPER / "one_seed.yaml"  # goes with every recipe and scale
RECIPES = sorted({*PAPER.glob("*.yaml")} - {*CLAIMS, ONE_SEED})
SCALES = sorted(PAPER.glob("*/*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", SCALES, ids=lambda path: path.stem)
def test_each_recipe_goes_with_each_scale(recipe: Path, scale: Path) -> None:
    files = f"{recipe},{scale}"
    grid = Grid.of(load_yaml(read_grid(files), files))
    for one in grid.originals:
        assert {"dataset", "rate", "seed"} <= {*one}
    first = Grid.of(load_yaml(read_grid(f"{files},{ONE_SEED}"), files))
    assert {one["seed"] for one in first.originals} == {0}
    assert len(first.originals) < len(grid.originals)
    assert "#" in recipe.read_text()[:1]
    assert "#" in scale.read_text()[:1]


@pytest.mark.parametrize("path", CLAIMS, ids=lambda path: path.stem)
def test_the_claims_are_of_recipes_that_are_there(path: Path) -> None:
    for claim in read_claims(path):
        assert path.parent / claim.grid in RECIPES


def test_the_scale_that_is_given_goes_with_the_recipes() -> None:
    with refused("nowhere.yaml"):
        claims(Request(entry={"claims": str(CLAIMS[0]), "scale": "nowhere.yaml"}))
