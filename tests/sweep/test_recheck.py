"""Finished unlearnings that are made again, and what is said of them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mu.errors import UserError
from mu.evaluation.statistics import prediction_interval
from mu.tasks.sweep.find import Result
from mu.tasks.sweep.plan import Plan, Task, make_plan
from mu.tasks.sweep.recheck import Checked, chosen, compared
from mu.tracking import Store
from tests.helpers import laws
from tests.sweep.plans import of_kind, planned

SETS = {"class:0": "set 0", "class:1": "set 1"}


def a_plan(*more: tuple[str, dict[str, Any]]) -> Plan:
    """Three seeds of an original, two forget sets, two methods, or more: 12 unlearnings."""
    originals = [planned(f"original {seed}", {"seed": seed}, SETS) for seed in range(3)]
    return make_plan(originals, [("ft", {}), ("ga", {}), *more], [0], {})


def results(plan: Plan) -> dict[str, Result]:
    """All tasks are finished; the gap of an unlearning is the seed of its original."""
    return {
        task.key: {"run_id": f"run {task.key}", "metrics": {"gap": float(task.seed)}}
        if task.kind == "cell"
        else {"run_id": f"run {task.key}", "metrics": {}}
        for task in plan
    }


def store(weights: dict[str, str]) -> Store:
    """A store that knows the weights of runs; all others have the same ones."""

    def run(run_id: str) -> Any:
        tags = {"mu.weights": weights.get(run_id, "recorded")}
        return SimpleNamespace(data=SimpleNamespace(tags=tags))

    return cast(Store, SimpleNamespace(run=run))


def _name(task: Task) -> tuple[str, str]:
    return task.what["method"], task.what["forget"]


def test_what_is_drawn_is_finished_and_comes_after_what_it_needs() -> None:
    plan = a_plan()
    found = results(plan)
    left_out = of_kind(plan, "cell")[:8]
    for task in left_out:
        del found[task.key]
    drawn = chosen(plan, found, 3)
    cells = of_kind(drawn, "cell")
    assert len(cells) == 3
    assert {task.key for task in cells} <= found.keys()
    assert {need for task in cells for need in task.needs} <= {task.key for task in drawn}
    assert [task for task in plan if task in drawn] == list(drawn)
    with pytest.raises(UserError, match="recheck=5: 4 unlearnings of this grid are finished"):
        chosen(plan, found, 5)


def test_draws_differ() -> None:
    plan = a_plan()
    found = results(plan)
    drawn = {tuple(task.key for task in chosen(plan, found, 2)) for _ in range(40)}
    assert len(drawn) > 5


def test_a_value_is_held_against_the_runs_that_differ_by_their_seeds_alone() -> None:
    plan = a_plan(("ft", {"epochs": 9}))
    found, what = results(plan), ("ft", "class:1")
    cells = of_kind(plan, "cell")
    alike = [one for one in cells if _name(one) == what and not one.what["settings"]]
    task = next(one for one in alike if one.original.key == "original 1")
    for one in cells:  # those of another method, setting or set are far away
        gap = float(one.original.settings["seed"]) if one in alike else 1000.0
        cast(dict[str, Any], found[one.key])["metrics"] = {"gap": gap, "time": 3.0}
    again = {task.key: {"run_id": "new", "metrics": {"gap": 1.5, "time": 9.0}}}
    (row,) = compared(store({"new": "others"}), plan, found, again)
    half = stats.t.ppf(0.975, 2) * math.sqrt(4 / 3)  # of 0, 1, 2: mean 1, standard deviation 1
    assert (row.metric, row.recorded, row.again, row.same_weights) == ("gap", 1.0, 1.5, False)
    assert (row.low, row.high) == pytest.approx((1 - half, 1 + half))
    assert row.inside
    again[task.key]["metrics"]["gap"] = 1 + half + 0.01
    (row,) = compared(store({}), plan, found, again)
    assert row.same_weights
    assert not row.inside


def test_without_an_interval_only_the_recorded_value_will_do() -> None:
    about = ("ft", ("a", "b"), True, "gap")
    assert Checked(*about, 2.0, 2.0, None, None).inside
    assert not Checked(*about, 2.0, 2.1, None, None).inside


def test_one_more_value_lies_in_the_interval_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(5, 2, (4000, 5))
    inside = 0
    for *known, new in draws:
        low, high = prediction_interval(known)
        assert low is not None
        assert high is not None
        inside += low <= new <= high
    assert inside / len(draws) == pytest.approx(0.95, abs=0.015)


@laws(50)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.floats(-100, 100))
def test_the_interval_moves_with_its_values(values: list[float], by: float) -> None:
    low, high = prediction_interval(values)
    moved = prediction_interval([one + by for one in values])
    assert low is not None
    assert high is not None
    assert moved == pytest.approx((low + by, high + by), abs=1e-6)
    assert low <= np.mean(values) <= high or low == pytest.approx(high)


def test_of_one_value_there_is_none() -> None:
    assert prediction_interval([3.0]) == (None, None)
