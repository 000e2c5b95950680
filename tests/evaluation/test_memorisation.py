"""Memorisation against counting by hand, and its error against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.memorisation import mean_memorisation, memorisation, most_memorised
from tests.helpers import laws


@st.composite
def outcomes(draw):
    """Which of 2 to 12 references is right about which sample, and which it saw."""
    pairs, samples = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    draws = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = draws.random((pairs, samples)) < 0.5
    seen = np.stack([first, ~first], 1).reshape(2 * pairs, samples)  # partners after each other
    chance = draws.random(samples)
    return draws.random(seen.shape) < np.where(seen, np.sqrt(chance), chance), seen


@laws()
@given(outcomes())
def test_as_counting_says(outcome):
    right, seen = outcome
    found, errors = memorisation(right, seen)
    for sample in range(right.shape[1]):
        pairs = list(zip(right[:, sample].tolist(), seen[:, sample].tolist(), strict=True))
        trained, others = ([good for good, saw in pairs if saw is side] for side in (True, False))
        assert found[sample] == pytest.approx(
            sum(trained) / len(trained) - sum(others) / len(others)
        )
        variance = 0.0
        for side in (trained, others):
            share = (sum(side) + 1) / (len(side) + 2)
            variance += share * (1 - share) / (len(side) + 2)
        assert errors[sample] == pytest.approx(variance**0.5)
        assert errors[sample] > 0


@laws()
@given(outcomes())
def test_the_mean_over_pairs_is_the_mean_over_samples(outcome):
    right, seen = outcome
    found = mean_memorisation(right, seen)
    assert found.mean == pytest.approx(memorisation(right, seen)[0].mean())
    assert found.count == len(right) // 2
    if len(right) == 2:
        assert found.low is None


def test_the_interval_of_the_mean_allows_for_references_that_differ_as_a_whole():
    """One reference right about everything it saw, and another about nothing: few pairs tell."""
    first = np.random.default_rng(1).random((4, 50)) < 0.5
    seen = np.stack([first, ~first], 1).reshape(8, 50)
    right = seen & (np.arange(8) // 2 < 2)[:, None]
    found = mean_memorisation(right, seen)
    assert found.mean == 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < 1 < found.high


def test_the_most_memorised_come_first_and_the_log_odds_decide_between_equals():
    seen = np.array([[True] * 4, [False] * 4, [True] * 4, [False] * 4])
    right = seen.copy()
    right[:, 1] = True  # known without being trained on
    margins = np.zeros((4, 4))
    margins[seen[:, 0]] = [1, 9, 3, 2]
    assert most_memorised(right, margins, seen).tolist() == [2, 3, 0, 1]


def test_a_sample_that_all_saw_is_refused():
    with pytest.raises(ValueError, match="one that did not"):
        memorisation(np.ones((2, 1), bool), np.ones((2, 1), bool))
