"""The plan: every combination once, whatever the order in which it was written."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.cli.requests import DeviceOptions
from mu.tasks.sweep.grid import Grid
from mu.tasks.sweep.plan import Plan, PlannedOriginal, make_plan, plan_digest
from mu.tasks.sweep.plan import plan_of as plan_of_grid
from tests.helpers import laws, make_checkpoint, make_dataset
from tests.sweep.plans import needs_come_first, of_kind, planned, small_plan

VALUES = st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)


def plan_of(grid: Grid) -> Plan:
    """The plan of a grid whose originals are what their settings say."""
    sets = {text: f"set {text}" for text in grid.forget}
    originals = [planned(repr(sorted(one.items())), one, sets) for one in grid.originals]
    return make_plan(originals, grid.methods, grid.seeds, grid.oracle)


def described(plan: Plan) -> list[Any]:
    """Each unlearning as what it is, without any key."""
    found = []
    for task in of_kind(plan, "cell"):
        what = task.what
        original = task.original.settings
        about = (what["forget"], what["method"], sorted(what["settings"].items()), what["seed"])
        found.append((sorted(original.items()), *about))
    return sorted(found)


@laws(80)
@given(
    axes=st.dictionaries(st.sampled_from(["rate", "seed", "epochs", "lr"]), VALUES, max_size=3),
    forget=st.lists(st.sampled_from(["class:0", "class:1", "random:5"]), min_size=1, unique=True),
    methods=st.lists(
        st.tuples(
            st.sampled_from(["ft", "ga", "iu"]),
            st.dictionaries(st.sampled_from(["epochs", "alpha"]), VALUES, max_size=2),
        ),
        max_size=3,
        unique_by=lambda one: one[0],
    ),
    seeds=VALUES,
    oracle=st.sampled_from(["train", "none"]),
    data=st.data(),
)
def test_every_combination_is_there_exactly_once_in_whatever_order(
    axes: dict[str, list[int]],
    forget: list[str],
    methods: list[tuple[str, dict[str, list[int]]]],
    seeds: list[int],
    oracle: str,
    data: st.DataObject,
) -> None:
    def shuffled(values: Any) -> Any:
        return data.draw(st.permutations(list(values)))

    document = {
        "originals": axes,
        "forget": forget,
        "methods": [{name: settings} for name, settings in methods],
        "seed": seeds,
        "oracle": oracle,
    }
    again = {
        "seed": shuffled(seeds),
        "methods": shuffled(
            {name: {n: shuffled(v) for n, v in shuffled(settings.items())}}
            for name, settings in methods
        ),
        "forget": shuffled(forget),
        "oracle": oracle,
        "originals": {name: shuffled(values) for name, values in shuffled(axes.items())},
    }
    plan, other = plan_of(Grid.of(document)), plan_of(Grid.of(again))

    def combinations(axes: dict[str, list[int]]) -> list[list[tuple[str, int]]]:
        named = [[(name, value) for value in values] for name, values in sorted(axes.items())]
        return [list(one) for one in itertools.product(*named)]

    expected = sorted(
        (original, text, name, settings, seed)
        for original in combinations(axes)
        for text in forget
        for name, own in methods
        for settings in combinations(own)
        for seed in seeds
    )
    assert described(plan) == described(other) == expected
    originals = len(combinations(axes))
    assert len(of_kind(plan, "original")) == originals
    assert len(of_kind(plan, "oracle")) == (originals * len(forget) if oracle == "train" else 0)
    assert len({task.key for task in plan}) == len(plan)
    assert plan_digest(plan) == plan_digest(other)
    assert needs_come_first(plan)
    assert needs_come_first(other)


def test_what_is_the_same_is_planned_once() -> None:
    original = planned("o", {"rate": 0}, {"class:0": "f", "class:zero": "f", "class:1": "g"})
    same = planned("o", {"rate": 0.0}, original.forget_sets)
    plan = make_plan([original, same], [("ft", {"lr": 1}), ("ft", {"lr": 1})], [0, 0], {})
    assert [task.kind for task in plan] == ["original", *["oracle", "cell"] * 2]


def test_an_unlearning_needs_its_original_and_its_oracle() -> None:
    plan = small_plan(originals=2, forgets=2)
    tasks = {task.key: task for task in plan}
    for task in of_kind(plan, "cell"):
        original, oracle = (tasks[need] for need in task.needs)
        assert original.kind == "original"
        assert task.original.key == oracle.original.key == original.key
        assert oracle.needs == (original.key,)
        assert oracle.what["forget_set"] == task.what["forget_set"]
        assert oracle.what["seed"] is None
    without = make_plan([planned("o", {}, {"class:0": "f"})], [("ft", {})], [0], None)
    assert [task.needs for task in without] == [(), ("o",)]


def test_another_setting_another_digest() -> None:
    plans = [small_plan(), small_plan(originals=3), small_plan(methods=3), small_plan(seeds=2)]
    assert len({plan_digest(plan) for plan in plans}) == 4


def test_an_oracle_has_the_seed_of_its_originals_training() -> None:
    spec = make_checkpoint(make_dataset()).spec
    assert (spec.recipe.seed, spec.recipe.split.split_seed) == (3, 1)
    original = PlannedOriginal("o", {}, {"class:0": "f"}, spec, {})
    plan = make_plan([original], [("ft", {})], [7], {})
    assert [task.seed for task in plan if task.needs] == [3, 7]


def test_each_split_has_forget_sets_of_its_own() -> None:
    originals = {"split_seed": [0, 1], "seed": [0, 1], "train_size": 120}
    grid = Grid.of({"originals": originals, "forget": "random:9", "methods": []})
    plan = plan_of_grid(grid, DeviceOptions(device="cpu"), lambda: pytest.fail("no mask is wanted"))
    sets = [
        (task.original.settings["split_seed"], task.original.forget_sets["random:9"])
        for task in of_kind(plan, "original")
    ]
    assert len(sets) == 4
    assert len(set(sets)) == len({fingerprint for _, fingerprint in sets}) == 2


def test_labels_say_what_differs() -> None:
    labels = [task.label for task in small_plan(originals=2, methods=2)]
    assert labels[0] == "seed=0"
    assert labels[2] == "ft epochs=0 class:0 seed=0, original seed=0"
    assert len(set(labels)) == len(labels)
    assert small_plan(originals=1)[0].label == "the original"


def test_a_block_of_originals_may_have_forget_sets_that_are_for_it_alone() -> None:
    blocks = [{"seed": [0, 1]}, {"seed": 0, "canaries": 20, "forget": ["canary:20", "class:5"]}]
    document = {"originals": blocks, "forget": ["class:0", "class:1"], "methods": "ft"}
    made = plan_of_grid(Grid.of(document), DeviceOptions.of({}), lambda: pytest.fail("no store"))
    found = [
        ("canaries" in one.original.settings, one.original.settings["seed"], one.what["forget"])
        for one in of_kind(made, "cell")
    ]
    published = [(False, seed, f"class:{n}") for seed in (0, 1) for n in (0, 1)]
    assert found == [*published, (True, 0, "canary:20"), (True, 0, "class:5")]
    assert len(of_kind(made, "original")) == 3
    assert len(of_kind(made, "oracle")) == 6


def test_a_class_means_other_samples_where_labels_are_wrong() -> None:
    blocks = {"train_size": 120, "canaries": [None, 20]}
    grid = Grid.of({"originals": blocks, "forget": "class:5", "methods": []})
    made = plan_of_grid(grid, DeviceOptions.of({}), lambda: pytest.fail("no store"))
    sets = [one.original.forget_sets["class:5"] for one in of_kind(made, "original")]
    assert len(set(sets)) == 2
