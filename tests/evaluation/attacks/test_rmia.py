"""RMIA against two loops over pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.attacks.rmia import GAMMA, rmia
from tests.helpers import laws


def slowly(target, references, population, population_references, gamma):
    """Pair by pair, with plain probabilities."""
    ratios = [
        [np.exp(own[n]) / np.mean(np.exp(others[:, n])) for n in range(len(own))]
        for own, others in ((target, references), (population, population_references))
    ]
    found = []
    for ratio_x in ratios[0]:
        ahead = [ratio_x / ratio_z >= gamma for ratio_z in ratios[1]]
        found.append(sum(ahead) / len(ahead))
    return np.array(found)


@st.composite
def games(draw):
    count, samples, others = (draw(st.integers(1, most)) for most in (6, 8, 20))
    draws = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = ((samples,), (count, samples), (others,), (count, others))
    return tuple(np.log(draws.uniform(1e-3, 1, shape)) for shape in shapes)


@laws()
@given(games(), st.sampled_from([1.0, 1.5, 2.0, 10.0]))
def test_as_the_loops_say(game, gamma):
    assert rmia(*game, gamma=gamma) == pytest.approx(slowly(*game, gamma))


def test_by_hand_with_a_tie():
    half = np.log(np.array([[0.5, 0.5], [0.5, 0.5]]))
    target, population = np.log(np.array([0.5, 0.25])), np.log(np.array([0.5, 0.125]))
    assert rmia(target, half, population, half, gamma=1.0).tolist() == [1.0, 0.5]
    assert rmia(target, half, population, half, gamma=2.0).tolist() == [0.5, 0.5]
    assert rmia(target, half, population, half).tolist() == [1.0, 0.5]
    assert GAMMA == 1


def test_probabilities_too_small_for_a_float_are_compared():
    target = np.array([-2000.0, -3000.0])
    population = np.array([-2500.0])
    references = np.full((2, 2), -2400.0)
    assert rmia(target, references, population, references[:, :1]).tolist() == [1.0, 0.0]


def test_what_cannot_be_compared_is_refused():
    one = np.zeros((1, 1))
    with pytest.raises(ValueError, match="population"):
        rmia(one[0], one, np.zeros(0), np.zeros((1, 0)))
    for gamma in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="gamma"):
            rmia(one[0], one, one[0], one, gamma=gamma)
    with pytest.raises(ValueError, match="shapes"):
        rmia(np.zeros(2), one, one[0], one)
    with pytest.raises(ValueError, match="shapes"):
        rmia(one[0], one, one[0], np.zeros((0, 1)))
    with pytest.raises(ValueError, match="finite"):
        rmia(np.array([-np.inf]), one, one[0], one)
