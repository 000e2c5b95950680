"""Estimates: from the most similar work of the past, in proportion."""

from __future__ import annotations

import pytest

from mu.tasks.sweep.find import Load, estimate
from mu.tasks.sweep.report import Board
from mu.tasks.sweep.schedule import Schedule
from tests.sweep.plans import small_plan

ON = {"dataset": "digits", "arch": "resnet_mini"}


def test_nothing_is_known_without_a_past_of_the_kind_on_the_same_data_and_network() -> None:
    pasts = [Load("ft", ON, seconds=3.0)]
    assert estimate(Load("ga", ON), pasts) is None
    assert estimate(Load("ft", {**ON, "arch": "resnet18"}), pasts) is None
    assert estimate(Load("ft", {**ON, "dataset": "cifar10"}), pasts) is None
    assert estimate(Load("ft", ON), pasts) == 3.0


def test_time_grows_with_the_work_but_for_what_is_done_once() -> None:
    past = Load("ft", ON, work=2, seconds=10.0, constant=4.0)
    assert estimate(Load("ft", ON, work=6), [past]) == pytest.approx(34.0)


def test_the_most_similar_count_and_of_them_the_median() -> None:
    near, far = {**ON, "batch_size": "64"}, {**ON, "batch_size": "8"}
    pasts = [Load("ft", near, seconds=one) for one in (1.0, 2.0, 90.0)]
    pasts += [Load("ft", far, seconds=500.0)] * 5
    assert estimate(Load("ft", near), pasts) == 2.0
    assert estimate(Load("ft", {**ON, "batch_size": "16"}), pasts) == 500.0  # none is nearer


def test_what_is_left_is_done_by_so_many_at_a_time() -> None:
    plan = small_plan()
    board = Board(Schedule(plan, 0), {task.key: 60.0 for task in plan}, jobs=4)
    assert board._seconds_left() == pytest.approx(15.0 * len(plan))
