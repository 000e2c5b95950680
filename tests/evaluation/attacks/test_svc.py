"""The paper's attack: against scikit-learn's support-vector classifier, and on known leaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from mu.evaluation.attacks.svc import ScoreAttack, shadow_rows


def plain_fit(members, non_members):
    """As the paper's code does it: every row, by scikit-learn."""
    svc = SVC(C=3, gamma="auto", kernel="rbf", tol=1e-5)
    rows = np.concatenate([members, non_members])
    truth = np.repeat([1, 0], [len(members), len(non_members)])
    return svc.fit(rows.reshape(len(rows), -1), truth)


def plain_evidence(members, non_members, queries):
    return plain_fit(members, non_members).decision_function(queries.reshape(len(queries), -1))


def fitted_like(draws, size):
    """Confidences as a fitted network gives them: members crowd at 1."""
    return 1 - draws.beta(0.3, 12, size), 1 - draws.beta(0.4, 1.5, size)


def vectors_like(draws, size, classes, scale):
    """Probabilities of several classes."""
    logits = scale * draws.normal(size=(size, classes))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 60), digits=st.integers(1, 9))
def test_the_evidence_is_that_of_a_plain_fit(seed, size, digits):
    draws = np.random.default_rng(seed)
    members, non_members = (scores.round(digits) for scores in fitted_like(draws, size))
    queries = np.linspace(0, 1, 41) + 1e-3
    found = ScoreAttack(members, non_members).evidence(queries)
    svc = plain_fit(members, non_members)
    error = found - svc.decision_function(queries[:, None])
    pulls = np.abs(svc.dual_coef_)
    if not ((pulls > 1e-4) & (pulls < 3 - 1e-4)).any():
        error -= error.mean()  # nothing lies on the margin, so a range of biases is as good
    assert np.abs(error).max() < 0.02  # of a margin of 1


@pytest.mark.parametrize("seed", range(2))
def test_the_rates_are_those_of_a_plain_fit(seed):
    draws = np.random.default_rng(seed)
    members, non_members = fitted_like(draws, 800)  # more than there are bins
    forgotten = 1 - draws.beta(0.35, 3, 5000)
    plain = 100 * (plain_evidence(members, non_members, forgotten) > 0).mean()
    found = 100 * ScoreAttack(members, non_members).is_member(forgotten).mean()
    assert found == pytest.approx(plain, abs=0.1)


@pytest.mark.parametrize("classes", [2, 10])
def test_the_rates_on_probability_vectors_are_those_of_a_plain_fit(classes):
    draws = np.random.default_rng(classes)
    members, non_members, forgotten = (
        vectors_like(draws, size, classes, scale)
        for size, scale in ((700, 4.0), (700, 2.0), (5000, 3.0))
    )
    often = np.repeat(np.arange(700), draws.choice([1, 5], 700, p=[0.9, 0.1]))
    members, non_members = members[often], non_members[often]
    plain = 100 * (plain_evidence(members, non_members, forgotten) > 0).mean()
    found = 100 * ScoreAttack(members, non_members).is_member(forgotten).mean()
    assert found == pytest.approx(plain, abs=0.3)


def test_two_values_only_as_correctness_has_them():
    members, non_members = np.repeat([1.0, 0.0], [95, 5]), np.repeat([1.0, 0.0], [70, 30])
    found = ScoreAttack(members, non_members).evidence(np.array([0.0, 1.0]))
    assert found == pytest.approx(
        plain_evidence(members, non_members, np.array([0.0, 1.0])), abs=0.02
    )


def test_a_known_leak_is_found():
    attack = ScoreAttack(np.full(50, 0.999), np.full(50, 0.2))
    assert attack.is_member(np.full(10, 0.999)).all()
    assert not attack.is_member(np.full(10, 0.2)).any()


@pytest.mark.parametrize("shape", [(1,), (20,), (800,), (20, 3), (800, 3)])
def test_where_all_scores_tie_all_are_members_as_a_plain_fit_says(shape):
    same = np.full(shape, 0.5)
    assert plain_fit(same, same).predict(same.reshape(len(same), -1)).all()
    assert ScoreAttack(same, same).is_member(same).all()


@pytest.mark.parametrize(("size", "classes"), [(300, 1), (900, 1), (900, 3)])
def test_order_does_not_matter(size, classes):
    draws = np.random.default_rng(5)
    members, non_members, queries = (
        vectors_like(draws, count, max(2, classes), scale)[:, :classes]
        for count, scale in ((size, 4.0), (size, 2.0), (100, 3.0))
    )
    one = ScoreAttack(members, non_members).is_member(queries)
    other = ScoreAttack(members[::-1].copy(), draws.permutation(non_members)).is_member(queries)
    assert np.array_equal(one, other)
    shuffled = draws.permutation(100)
    again = ScoreAttack(members, non_members).is_member(queries[shuffled])
    assert np.array_equal(again, one[shuffled])


def test_probabilities_of_exactly_0_and_1_and_sets_of_one():
    found = ScoreAttack(np.ones(1), np.zeros(1)).is_member(np.array([0.0, 1.0]))
    assert found.tolist() == [False, True]


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
