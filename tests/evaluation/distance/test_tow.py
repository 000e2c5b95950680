"""The tug-of-war score by hand and by its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.gap import tow

numbers = st.fixed_dictionaries({name: st.floats(0, 100) for name in ("UA", "RA", "TA")})


def test_by_hand():
    ours = {"UA": 90.0, "RA": 99.0, "TA": 80.0, "MIA": 3.0}
    oracle = {"UA": 100.0, "RA": 100.0, "TA": 84.0}
    assert tow(ours, oracle) == pytest.approx(0.9 * 0.99 * 0.96)


@given(numbers, numbers)
def test_between_0_and_1_and_both_ways_the_same(ours, oracle):
    assert 0 <= tow(ours, oracle) <= 1
    assert tow(ours, oracle) == pytest.approx(tow(oracle, ours))
    assert tow(ours, ours) == 1


@pytest.mark.parametrize("name", ["UA", "RA", "TA"])
def test_the_worst_in_one_is_the_worst(name):
    at = {"UA": 0.0, "RA": 0.0, "TA": 0.0}
    assert tow(at, {**at, name: 100.0}) == 0
    assert tow(at, {**at, name: 30.0}) == pytest.approx(0.7)
    with pytest.raises(KeyError, match=name):
        tow(at, {key: 0.0 for key in at if key != name})
