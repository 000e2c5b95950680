"""Estimates: from the most similar work of the past, in proportion."""

from __future__ import annotations

import pytest
from mu.sweep.estimate import Estimator, Load, Past

ON = {"dataset": "digits", "arch": "resnet_mini"}


def test_nothing_is_known_without_a_past_of_the_kind_on_the_same_data_and_network() -> None:
    estimator = Estimator([Past(Load("ft", ON), 3.0)])
    assert estimator.seconds(Load("ga", ON)) is None
    assert estimator.seconds(Load("ft", {**ON, "arch": "resnet18"})) is None
    assert estimator.seconds(Load("ft", {**ON, "dataset": "cifar10"})) is None
    assert estimator.seconds(Load("ft", ON)) == 3.0


def test_time_grows_with_the_work_but_for_what_is_done_once() -> None:
    estimator = Estimator([Past(Load("ft", ON, work=2), 10.0, beside=4.0)])
    assert estimator.seconds(Load("ft", ON, work=6)) == pytest.approx(34.0)


def test_the_most_similar_count_and_of_them_the_median() -> None:
    near, far = {**ON, "batch_size": "64"}, {**ON, "batch_size": "8"}
    times = [Past(Load("ft", near), seconds) for seconds in (1.0, 2.0, 90.0)]
    estimator = Estimator([*times, *[Past(Load("ft", far), 500.0)] * 5])
    assert estimator.seconds(Load("ft", near)) == 2.0
    assert estimator.seconds(Load("ft", {**ON, "batch_size": "16"})) == 500.0  # none is nearer
