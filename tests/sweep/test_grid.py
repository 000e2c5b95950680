"""The grid file: what it means, and what is refused with the name and the value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mu.tasks.sweep.grid import Grid, load_yaml, read_grid
from tests.helpers import refused


def grid(document: Any) -> Grid:
    return Grid.of(document)


def test_the_grid_of_the_documentation(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        """
originals:
  dataset: digits
  rate: [0, 0.95]
  seed: [0, 1]
forget: [class:0, "random:10%"]
methods:
  - ft
  - l1_sparse: {l1_strength: [1, 2]}
  - ga: null
seed: [0, 5]
oracle: none
device: cpu
"""
    )
    found = grid(load_yaml(read_grid(str(path)), "grid.yaml"))
    assert found.originals == tuple(
        {"dataset": "digits", "rate": rate, "seed": seed} for rate in (0, 0.95) for seed in (0, 1)
    )
    assert found.forget == ("class:0", "random:10%")
    assert found.methods == (
        ("ft", {}),
        ("l1_sparse", {"l1_strength": 1}),
        ("l1_sparse", {"l1_strength": 2}),
        ("ga", {}),
    )
    assert found.seeds == (0, 5)
    assert found.oracle is None
    assert found.device == {"device": "cpu"}


def test_what_is_left_out_has_the_defaults() -> None:
    found = grid({})
    assert found.originals == ({},)
    assert (found.forget, found.methods, found.seeds) == (("class:0",), (("l1_sparse", {}),), (0,))
    assert found.oracle == {}
    assert found.device == {}


def test_originals_may_be_several_blocks_and_methods_none() -> None:
    found = grid({"originals": [{"rate": 0}, {"pruner": "imp", "rounds": [1, 2]}], "methods": []})
    assert found.originals == (
        {"rate": 0}, {"pruner": "imp", "rounds": 1}, {"pruner": "imp", "rounds": 2},
    )  # fmt: skip
    assert found.methods == ()


def test_an_oracle_may_have_settings() -> None:
    assert grid({"oracle": {"mask_from": "retain"}}).oracle == {"mask_from": "retain"}
    assert grid({"oracle": None}).oracle is None
    assert grid({"device": {"device": "cpu", "precision": "fp32"}}).device["precision"] == "fp32"


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ({"original": {}}, ("'original'", "did you mean originals")),
        ([1], ("no mapping", "originals")),
        (None, ("no mapping",)),
        ({"originals": "digits"}, ("originals: 'digits'",)),
        ({"originals": {"rate": []}}, ("originals.rate=[]", "at least one")),
        ({"originals": {"rate": [[1]]}}, ("originals.rate=[1]",)),
        ({"originals": [{}, {"rate": {"a": 1}}]}, ("originals[1].rate=",)),
        ({"forget": []}, ("forget=[]",)),
        ({"seed": [{}]}, ("seed={}",)),
        ({"methods": [3]}, ("methods: 3",)),
        ({"methods": [{"ft": {}, "ga": {}}]}, ("methods:", "not understood")),
        ({"methods": [{"ft": 3}]}, ("methods.ft: 3",)),
        ({"oracle": "trian"}, ("oracle 'trian'", "did you mean train?")),
        ({"oracle": {"mask_from": ["upstream", "retain"]}}, ("oracle:", "one value")),
        ({"device": {"device": ["cpu", "cuda"]}}, ("device:", "one value")),
    ],
)
def test_what_is_not_understood_is_refused(document: Any, texts: tuple[str, ...]) -> None:
    with refused(*texts):
        grid(document)


def test_a_key_that_stands_twice_is_refused() -> None:
    with refused("'rate' twice", "line 3"):
        load_yaml("originals:\n  rate: 0\n  rate: 1\n", "grid")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with refused("grid=", "cannot be read"):
        read_grid(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with refused("cannot be read"):
        read_grid(str(tmp_path / "bad.yaml"))
    with refused("'grid.yaml' is no YAML"):
        load_yaml("a: [", "grid.yaml")


def test_several_files_are_one_grid(tmp_path: Path) -> None:
    recipe, scale = tmp_path / "recipe.yaml", tmp_path / "scale.yaml"
    recipe.write_text("originals: {rate: [0, 0.5], seed: 1}\nforget: class:0\n")
    scale.write_text("originals: {epochs: 2, seed: 3}\nforget: class:1\ndevice: cpu\n")
    together = load_yaml(read_grid(f"{recipe},{scale}"), "both")
    assert together == {
        "originals": {"rate": [0, 0.5], "seed": 3, "epochs": 2},
        "forget": "class:1",
        "device": "cpu",
    }
    recipe.write_text("originals: [{rate: 0}, {rate: 1}]")
    together = load_yaml(read_grid(f"{recipe},{scale}"), "both")
    assert together["originals"] == [{"rate": rate, "epochs": 2, "seed": 3} for rate in (0, 1)]
    with refused("scale.yaml", "no mapping"):
        scale.write_text("[1]")
        read_grid(f"{recipe},{scale}")
    odd = tmp_path / "a,b.yaml"
    odd.write_text("forget: class:2")
    assert read_grid(str(odd)) == "forget: class:2"


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.getcwd []", "a: !!python/name:os.abort"]
)
def test_nothing_in_a_file_is_executed(text: str) -> None:
    with refused("is no YAML"):
        load_yaml(text, "grid")
