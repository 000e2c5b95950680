"""Statistics over seeds, against SciPy's own functions, by hand and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mu.evaluation.statistics import Comparison, Summary, paired, summarise
from tests.helpers import laws

VALUES = [92.1, 93.4, 91.7, 92.9, 92.2]


@pytest.mark.parametrize("values", [VALUES, [1.0, 2.0], [0.0, 0.0, 1e-9], [1e6, -1e6, 3.0]])
def test_the_interval_is_scipys(values):
    found = summarise(values)
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.sd == pytest.approx(np.std(values, ddof=1))


def test_one_value_has_no_spread():
    assert summarise([3.5]) == Summary(1, 3.5, None, None, None)
    assert summarise([3.5], bootstrap=True) == Summary(1, 3.5, None, None, None)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_equal_values_have_an_interval_of_no_width(bootstrap):
    assert summarise([0.1] * 3, bootstrap=bootstrap) == Summary(3, 0.1, 0.0, 0.1, 0.1)


def test_the_bootstrap_draws_means_with_replacement():
    found = summarise(VALUES, bootstrap=True)
    grid = np.array(np.meshgrid(*[VALUES] * 5)).reshape(5, -1).mean(0)  # every draw there is
    low, high = np.quantile(grid, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)
    assert (found.mean, found.sd) == (summarise(VALUES).mean, summarise(VALUES).sd)
    assert found == summarise(VALUES, bootstrap=True)
    assert found.low != summarise(VALUES, bootstrap=True, seed=1).low
    two = summarise([1.0, 2.0], bootstrap=True)
    assert (two.low, two.high) == (1, 2)


def held(count, *, bootstrap, rounds):
    """How often intervals of so many normal values hold the true mean."""
    draws = np.random.default_rng(count)
    kept = 0
    for number in range(rounds):
        found = summarise(draws.normal(7, 3, count), bootstrap=bootstrap, seed=number)
        kept += found.low <= 7 <= found.high
    return kept / rounds


def test_the_bootstrap_of_few_is_as_narrow_as_is_said():
    assert held(5, bootstrap=True, rounds=300) == pytest.approx(0.82, abs=0.07)


# As metrics are: SciPy itself overflows on differences of 1e-308.
percent = st.floats(0, 100).map(lambda value: round(value, 6))
numbers = st.lists(st.tuples(percent, percent), min_size=2, max_size=9)


@laws(150)
@given(numbers)
def test_the_t_test_is_scipys(pairs):
    one, other = (np.array(values) for values in zip(*pairs, strict=True))
    found = paired(one, other)
    differences = one - other
    if differences.std() <= 1e-6 * max(abs(one).max(), abs(other).max()):
        return  # where SciPy warns, and what is left are rounding errors
    expected = stats.ttest_rel(one, other)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-4, abs=1e-12)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-4, abs=1e-6)
    assert found.differs == (found.p < 0.05)
    turned = paired(other, one)
    assert turned.p == pytest.approx(found.p)
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.low == pytest.approx(-found.high)


@pytest.mark.parametrize("count", [6, 7, 12, 25])
def test_the_ranks_without_ties_are_scipys(count):
    draws = np.random.default_rng(count)
    for shift in (0.0, 0.3, 1.0, 9.0):
        one, other = draws.normal(shift, 1, count), draws.normal(0, 1, count)
        expected = stats.wilcoxon(one, other, method="exact").pvalue
        assert paired(one, other).p_ranks == pytest.approx(expected, rel=1e-9)


@laws(25)
@given(st.lists(st.integers(-3, 3), min_size=6, max_size=9))
def test_the_ranks_with_ties_and_zeros_are_those_of_all_signs(differences):
    found = paired(np.array(differences) + 50.0, np.full(len(differences), 50.0)).p_ranks
    given = [value for value in differences if value]
    if len(given) < 6:
        assert found is None
        return
    expected = stats.wilcoxon(np.array(given, float), method=stats.PermutationMethod())
    assert found == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("count", "p"), [(2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_differences_that_are_all_the_same(count, p):
    base = np.linspace(94.2, 95.6, count)  # where 95.2 - 94.2 is not quite 1
    found = paired(base + 1.0, base)
    ranks = p if count >= 6 else None
    assert found == Comparison(count, pytest.approx(1.0), None, None, p, ranks)
    assert found.differs == (p < 0.05)
    assert paired(base, base + 1.0).difference == pytest.approx(-1.0)


@pytest.mark.parametrize("count", [2, 8])
def test_no_difference_at_all(count):
    same = np.linspace(0, 90, count)
    assert paired(same, same) == Comparison(count, 0.0, None, None, 1.0, None)
    assert paired([0.0] * count, [0.0] * count).p == 1


def test_values_whose_squares_are_no_numbers():
    found = paired([0.0, 0.0, 3e-270], [0.0, 1e-270, 1e-270])
    assert found.p == pytest.approx(paired([0.0, 0.0, 3.0], [0.0, 1.0, 1.0]).p)
    assert found.high == pytest.approx(1e-270 * paired([0, 0, 3], [0, 1, 1]).high)


def test_ranks_that_balance():
    even = np.array([1.0, -1.0, 2.0, -2.0, 3.0, -3.0])
    assert paired(even, np.zeros(6)).p_ranks == 1


def test_equal_differences_are_equal_whatever_their_last_digits():
    ours, theirs = [95.2, 96.3, 4.2, 1.1], [94.1, 95.2, 3.1, 0.0]
    assert len({a - b for a, b in zip(ours, theirs, strict=True)}) > 2
    found = paired(ours, theirs)
    assert (found.low, found.p) == (None, 0.125)


def test_rounding_errors_are_no_differences():
    found = paired([0.1 + 0.2, 100.0, 50.0], [0.3, 100.0, 50.0])
    assert (found.difference, found.p) == (0.0, 1.0)


def test_refuses_what_has_no_statistics():
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match=r"at least one|finite"):
            summarise(values)
    with pytest.raises(ValueError, match="2 values cannot be paired with 3"):
        paired([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="at least 2 pairs"):
        paired([1.0], [2.0])
    with pytest.raises(ValueError, match="finite"):
        paired([1.0, math.nan], [1.0, 2.0])
