"""What makes one oracle another one: everything that it depends on, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mu.checkpoints import Checkpoint, DataSpec, Spec, forget_split
from mu.cli.requests import DeviceOptions
from mu.data.images import ImageDataset
from mu.keys import unlearning_key
from mu.methods import make_method
from mu.recipes.recipe import Recipe, Rewinding
from mu.tags import ORACLE_KEY
from mu.tasks.problem import UnlearningProblem, UnlearnTask
from tests.data.poisoned import make_poison
from tests.helpers import make_checkpoint, make_dataset, random_mask

DATA = make_dataset(train=60)
BASE = make_checkpoint(DATA)


def key(
    checkpoint: Checkpoint = BASE,
    data: ImageDataset = DATA,
    forget: str = "class:1",
    mask_from: str = "upstream",
) -> str:
    split = forget_split(checkpoint, data, forget)
    problem = UnlearningProblem(
        "0123", checkpoint, data, split, forget, DeviceOptions(device="cpu")
    )
    return problem.oracle_key(mask_from)


def with_mask(kept: float) -> Checkpoint:
    mask = random_mask(BASE.model, BASE.mask, kept=kept, seed=9)
    return Checkpoint(BASE.model, mask, BASE.spec)


def with_recipe(**changes: object) -> Checkpoint:
    recipe: Recipe = replace(BASE.spec.recipe, **changes)  # type: ignore[arg-type]
    return Checkpoint(BASE.model, BASE.mask, replace(BASE.spec, recipe=recipe))


def with_data(data: ImageDataset) -> Checkpoint:
    return Checkpoint(BASE.model, BASE.mask, Spec(DataSpec.of(data), BASE.spec.recipe))


OTHER = make_dataset(train=60, seed=5)
SHIFTED = replace(DATA, mean=(0.5,))
POISONED = [make_poison(which).apply(DATA) for which in ((1, 5), (1, 6))]
OTHERS = {
    "mask": {"checkpoint": with_mask(0.3)},
    "where the mask is from": {"mask_from": "retain"},
    "forget set": {"forget": "class:2"},
    "initial weights": {"checkpoint": with_recipe(seed=4)},
    "training": {"checkpoint": with_recipe(training=replace(BASE.spec.recipe.training, epochs=3))},
    "images": {"checkpoint": with_data(OTHER), "data": OTHER},
    "normalisation": {"checkpoint": with_data(SHIFTED), "data": SHIFTED},
    "poison": {"checkpoint": with_data(POISONED[0]), "data": POISONED[0]},
    "another poison": {"checkpoint": with_data(POISONED[1]), "data": POISONED[1]},
}


def test_the_same_job_has_the_same_key_however_it_is_spelt() -> None:
    again = make_checkpoint(make_dataset(train=60))
    assert key(again, make_dataset(train=60)) == key()
    assert key(forget="class:class_1") == key()


@pytest.mark.parametrize("change", OTHERS)
def test_another_job_has_another_key(change: str) -> None:
    others = {name: key(**given) for name, given in OTHERS.items() if name != change}  # type: ignore[arg-type]
    assert key(**OTHERS[change]) not in {key(), *others.values()}  # type: ignore[arg-type]


def test_the_mask_does_not_matter_where_it_is_found_anew() -> None:
    assert key(with_mask(0.3), mask_from="retain") == key(mask_from="retain")
    assert key(with_mask(0.3)) != key(with_mask(0.5))


PT = Rewinding("pt")
KEYS = {  # computed before an oracle of rewind=pt was trained in full
    ("rewind_lt", "upstream"): "6b81da4c8b947b86",
    ("lt", "upstream"): "70072e0e9e721c13",
    ("pt", "retain"): "2bf692a07bf40dca",
    ("pt of a dense original", "upstream"): "6857a4b12975e6e2",
    ("pt before training", "upstream"): "5eed2e59d5b2c5dc",
    ("pt under a given mask", "upstream"): "1739d5d06898a8a8",
}
BEFORE_IN_FULL = "4f558506219023c2"


def of_rewinding(name: str) -> Checkpoint:
    changes: dict[str, dict[str, object]] = {
        "rewind_lt": {},
        "lt": {"rewinding": Rewinding("lt")},
        "pt": {"rewinding": PT},
        "pt of a dense original": {"rewinding": PT, "pruning": {"rate": 0.0}},
        "pt before training": {"rewinding": PT, "pruning": {"rate": 0.5, "when": "initial"}},
        "pt under a given mask": {"rewinding": PT, "given_mask": "0" * 64},
    }
    return with_recipe(**changes[name])


@pytest.mark.parametrize(("rewind", "mask_from"), KEYS)
def test_oracles_of_earlier_versions_are_found_where_their_training_was_the_originals(
    rewind: str, mask_from: str
) -> None:
    assert key(of_rewinding(rewind), mask_from=mask_from) == KEYS[rewind, mask_from]


def test_an_oracle_of_pt_that_was_trained_half_is_not_found() -> None:
    assert key(of_rewinding("pt")) != BEFORE_IN_FULL


@pytest.mark.parametrize("mask_from", ["upstream", "retain"])
def test_an_oracle_is_tagged_by_where_its_mask_is_from(mask_from: str) -> None:
    split = forget_split(BASE, DATA, "class:1")
    problem = UnlearningProblem("0123", BASE, DATA, split, "class:1", DeviceOptions(device="cpu"))
    task = UnlearnTask(problem, make_method("retrain", {"mask_from": mask_from}), seed=0)
    assert task.tags()[ORACLE_KEY] == key(mask_from=mask_from)


@pytest.mark.parametrize(
    ("name", "settings", "key"),
    [
        ("ga", {"lr": 0.1}, "1570ba86f5c11e24"),
        ("iu", {"alpha": 0.5}, "f546c76a6a81429d"),
        ("ft", {"lr": 0.05}, "db1d16d0bdeb7bc6"),
        ("l1_sparse", {"alpha": 0.1}, "40d85258ce7d6d0a"),
        ("l1_sparse", {"l1_strength": 3.0}, "88329acc2c6ede24"),
    ],
)
def test_an_unlearning_is_found_again_by_the_key_of_earlier_versions(name, settings, key):
    """Computed before there was one rule for all: sweeps find what was finished then."""
    method = make_method(name, settings)
    assert unlearning_key(("ab", "cd"), "ef", method, 3) == key


@pytest.mark.parametrize(
    ("name", "settings", "key"),
    [
        ("ga", {"max_accuracy_drop": 2.0}, "c59aa2b9bed9c333"),
        ("iu", {"max_accuracy_drop": 2.0}, "79d19a9f69494950"),
        ("ft", {}, "dc7759a851c9164a"),
    ],
)
def test_what_another_rule_did_is_not_taken_for_the_same(name, settings, key):
    """Computed before there was one rule for all."""
    assert unlearning_key(("ab", "cd"), "ef", make_method(name, settings), 3) != key


def test_what_is_kept_of_an_unlearning_has_its_notes_and_the_names_of_earlier_versions() -> None:
    split = forget_split(BASE, DATA, "class:1")
    problem = UnlearningProblem("0123", BASE, DATA, split, "class:1", DeviceOptions(device="cpu"))
    task = UnlearnTask(problem, make_method("iu"), seed=0)
    assert "spend" in task.document()["settings"]
    assert "notes" not in task.document()
    assert replace(task, notes=("suspects missed 3",)).document()["notes"] == ["suspects missed 3"]
