"""RMIA against two loops over pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.attacks.rates import rates
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


@laws()
@given(games(), st.integers(0, 99))
def test_the_order_of_samples_references_and_population_does_not_matter(game, seed):
    target, references, population, of_population = game
    draws = np.random.default_rng(seed)
    rows, samples, others = map(draws.permutation, (*references.shape, len(population)))
    found = rmia(
        target[samples],
        references[rows][:, samples],
        population[others],
        of_population[rows][:, others],
    )
    assert found == pytest.approx(rmia(*game)[samples])


def test_by_hand_with_a_tie():
    half = np.log(np.array([[0.5, 0.5], [0.5, 0.5]]))
    target, population = np.log(np.array([0.5, 0.25])), np.log(np.array([0.5, 0.125]))
    assert rmia(target, half, population, half, gamma=1.0).tolist() == [1.0, 0.5]
    assert rmia(target, half, population, half, gamma=2.0).tolist() == [0.5, 0.5]
    assert rmia(target, half, population, half).tolist() == [1.0, 0.5]
    assert GAMMA == 1


def test_references_are_averaged_as_probabilities_and_not_as_logarithms():
    references = np.log(np.array([[0.9], [0.1]]))
    found = rmia(np.log([0.5]), references, np.log([0.5, 0.51]), np.log([[0.5, 0.5]] * 2), gamma=1)
    assert found.tolist() == [0.5]


def test_probabilities_too_small_for_a_float_are_compared():
    target = np.array([-2000.0, -3000.0])
    population = np.array([-2500.0])
    references = np.full((2, 2), -2400.0)
    assert rmia(target, references, population, references[:, :1]).tolist() == [1.0, 0.0]


def test_a_network_that_trained_on_half_is_told_from_the_other_half():
    draws = np.random.default_rng(0)
    sure = np.log(draws.uniform(0.7, 0.99, 400))
    unsure = np.log(draws.uniform(0.1, 0.5, 400))
    references = np.stack([sure, unsure])
    others = np.log(draws.uniform(0.1, 0.5, (3, 1000)))
    is_member = np.arange(400) < 200
    target = np.log(
        np.where(is_member, draws.uniform(0.7, 0.99, 400), draws.uniform(0.1, 0.5, 400))
    )
    found = rmia(target, references, others[0], others[1:], gamma=1.0)
    assert rates(found[:200], found[200:])["auc"] > 0.95


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
