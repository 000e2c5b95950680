"""The confidence attack: against a plain support-vector classifier, and on known leaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from mu.evaluation.membership import ScoreAttack, efficacy, shadow_rows


def plain_attack(members, non_members, queries):
    """As the paper's code does it: every row, no weights."""
    svc = SVC(C=3, gamma="auto", kernel="rbf")
    rows = np.concatenate([members, non_members])[:, None]
    svc.fit(rows, np.repeat([1, 0], [len(members), len(non_members)]))
    return svc.predict(queries[:, None]) == 1


def fitted_like(draws, size):
    """Confidences as a fitted network gives them: members crowd at 1."""
    return 1 - draws.beta(0.3, 12, size), 1 - draws.beta(0.4, 1.5, size)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 60), digits=st.integers(1, 2))
def test_distinct_weighted_values_give_the_predictions_of_all_rows(seed, size, digits):
    draws = np.random.default_rng(seed)
    members, non_members = (scores.round(digits) for scores in fitted_like(draws, size))
    queries = np.linspace(0, 1, 41) + 1e-3
    attack = ScoreAttack(members, non_members)
    plain = plain_attack(members, non_members, queries)
    # libsvm stops at a tolerance: on the boundary itself both answers are its answer.
    assert np.mean(attack.is_member(queries) == plain) >= 0.95


@pytest.mark.parametrize("seed", range(3))
def test_merged_values_give_the_same_rates_as_a_plain_fit(seed):
    draws = np.random.default_rng(seed)
    members, non_members = fitted_like(draws, 2000)
    forgotten = 1 - draws.beta(0.35, 3, 1000)
    plain = 100 * (1 - plain_attack(members, non_members, forgotten).mean())
    assert efficacy(members, non_members, forgotten) == pytest.approx(plain, abs=0.5)


def test_a_known_leak_is_found():
    members, non_members = np.full(50, 0.999), np.full(50, 0.2)
    assert efficacy(members, non_members, np.full(10, 0.999)) == 0
    assert efficacy(members, non_members, np.full(10, 0.2)) == 100


def test_order_does_not_matter():
    draws = np.random.default_rng(5)
    members, non_members = fitted_like(draws, 300)
    queries = draws.random(100)
    one = ScoreAttack(members, non_members).is_member(queries)
    other = ScoreAttack(members[::-1].copy(), draws.permutation(non_members)).is_member(queries)
    assert np.array_equal(one, other)
    shuffled = draws.permutation(100)
    again = ScoreAttack(members, non_members).is_member(queries[shuffled])
    assert np.array_equal(again, one[shuffled])


def test_probabilities_of_exactly_0_and_1_and_sets_of_one():
    assert ScoreAttack(np.ones(1), np.zeros(1)).is_member(np.array([0.0, 1.0])).tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize(("members", "non_members"), [(0, 0), (3, 2), (0, 1)])
def test_unequal_or_empty_sets_are_refused(members, non_members):
    with pytest.raises(ValueError, match="as many members"):
        ScoreAttack(np.ones(members), np.zeros(non_members))


@given(members=st.integers(1, 300), non_members=st.integers(1, 300), seed=st.integers(0, 99))
def test_shadow_sets_are_equal_distinct_and_seeded(members, non_members, seed):
    first, second = shadow_rows(members, non_members, seed)
    assert len(first) == len(second) == min(members, non_members)
    assert len(set(first)) == len(first)
    assert first.max() < members
    assert second.max() < non_members
    again = shadow_rows(members, non_members, seed)
    assert np.array_equal(first, again[0])
    assert np.array_equal(second, again[1])
