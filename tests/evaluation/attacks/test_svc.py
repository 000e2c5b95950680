"""The paper's attack: against scikit-learn's support-vector classifier, and on known leaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

from mu.evaluation.attacks.svc import MOST_ROWS, ScoreAttack, shadow_rows
from tests.helpers import laws


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


# --- decisions ----------------------------------------------------------------------------

# Numbers that the sums of a plain fit are zero within; its own sign there is a rounding error's.
NOTHING = 1e-10


def saturated(draws, size, scale, classes=10):
    """Probabilities of networks that are sure, but for so much."""
    rest = np.abs(draws.normal(size=(size, classes - 1))) * scale
    return np.column_stack([1 - rest.sum(1), rest])


def hard_cases():
    """Name: members, non-members and queries."""
    draws = np.random.default_rng(3)
    some, others = fitted_like(draws, 300)
    queries = np.concatenate([some[:40], others[:40], np.linspace(0, 1, 21)])
    ones, noise = np.ones(200), 1 - np.abs(draws.normal(size=200)) * 2e-16
    yield "all tie", np.full(90, 0.7), np.full(90, 0.7), queries
    yield "the same samples", some, some.copy(), queries
    yield "the same samples in another order", some, some[::-1].copy(), some
    yield "one sample each", np.array([0.9]), np.array([0.4]), queries
    yield "one sample each, and the same", np.array([0.9]), np.array([0.9]), queries
    yield "two samples", np.array([0.9, 0.4]), np.array([0.4, 0.9]), queries
    yield "all sure", ones, ones.copy(), np.array([1.0, 1 - 1e-16, 1 - 1e-9, 0.9, 0.0])
    yield "all sure but a few test samples", ones, np.r_[ones[5:], np.full(5, 0.6)], queries
    yield "noise in the last digit", noise, 1 - np.abs(draws.normal(size=200)) * 2e-16, noise
    yield "sure, and noise in the last digit", ones, noise, np.r_[1.0, noise]
    yield "right and wrong, as many of each", np.repeat([1.0, 0], 50), np.repeat([0, 1.0], 50), ones
    yield "right and wrong", np.repeat([1.0, 0], [99, 1]), np.repeat([1.0, 0], [98, 2]), ones
    yield "apart", np.full(50, 0.999), np.full(50, 0.2), queries
    for scale in (1e-16, 1e-9, 1e-6, 1e-4, 1e-2):
        same = [saturated(draws, size, scale) for size in (120, 120, 60)]
        yield f"probabilities, sure but for {scale:g}", *same
        one = [each[:, :1].copy() for each in same]
        yield f"confidences, sure but for {scale:g}", *one
    row = np.tile([0.1, 0.2, 0.7], (40, 1))
    yield "probabilities, all rows equal", row, row.copy(), np.vstack([row[:1], np.eye(3)])
    both = [np.column_stack([one, 1 - one]) for one in (some, others, queries)]
    yield "two classes", *both
    yield "two classes, the same samples", both[0], both[0].copy(), both[2]


HARD = {name: parts for name, *parts in hard_cases()}


def check_decisions(members, non_members, queries):
    """Those of the plain fit on the raw samples; where that has nothing to say, all are members."""
    plain = SVC(C=3, gamma="auto", kernel="rbf")
    rows = np.concatenate([members, non_members]).reshape(2 * len(members), -1)
    plain.fit(rows, np.repeat([1, 0], len(members)))
    queries = queries.reshape(len(queries), -1)
    says = plain.predict(queries) == 1
    silent = np.abs(plain.decision_function(queries)) <= NOTHING
    found = ScoreAttack(members, non_members).is_member(queries)
    assert np.array_equal(found[~silent], says[~silent])
    return found[silent]


@pytest.mark.parametrize("case", [one for one in HARD if "for 1e-06" not in one])
def test_the_decisions_are_those_of_a_plain_fit_in_every_hard_case(case):
    assert check_decisions(*HARD[case]).all()


@pytest.mark.parametrize("case", [one for one in HARD if "for 1e-06" in one])
def test_where_a_plain_fit_has_next_to_nothing_to_say_what_it_says_is_followed(case):
    check_decisions(*HARD[case])  # of less than NOTHING some is more than rounding


@laws(150)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 40),
    values=st.integers(1, 6),
    dimensions=st.integers(1, 3),
    sure=st.booleans(),
)
def test_the_decisions_on_a_few_values_are_those_of_a_plain_fit(
    seed, size, values, dimensions, sure
):
    draws = np.random.default_rng(seed)
    points = draws.random((values, dimensions))
    if sure:
        points = 1 - 10.0 ** -draws.integers(0, 16, points.shape)
    members, non_members = (points[draws.integers(0, values, size)] for _ in range(2))
    check_decisions(members, non_members, np.vstack([points, draws.random((3, dimensions))]))


@pytest.mark.parametrize("size", [1, 2, 7, 100, 333])
@pytest.mark.parametrize("shape", [(), (2,), (10,)])
def test_the_same_samples_leave_nothing_to_tell_members_by(size, shape):
    """Whatever their order: all are members, and none more than another."""
    draws = np.random.default_rng(size)
    members = draws.random((size, *shape))
    attack = ScoreAttack(members, draws.permutation(members))
    queries = np.concatenate([members, draws.random((50, *shape))])
    assert attack.is_member(queries).all()
    assert not attack.evidence(queries).any()


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "scale"), [(10, 1e-4), (2, 1e-5), (10, 1e-16)])
def test_many_vectors_of_sure_networks_are_told_apart_as_by_a_plain_fit(classes, scale):
    draws = np.random.default_rng(0)
    parts = [saturated(draws, size, scale, classes) for size in (1200, 1200, 300)]
    assert check_decisions(*parts).all()


# --- rates --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_the_rates_are_those_of_a_plain_fit(seed):
    draws = np.random.default_rng(seed)
    members, non_members = fitted_like(draws, MOST_ROWS // 2 + 100)  # so that they are binned
    forgotten = 1 - draws.beta(0.35, 3, 5000)
    plain = 100 * (plain_evidence(members, non_members, forgotten) > 0).mean()
    found = 100 * ScoreAttack(members, non_members).is_member(forgotten).mean()
    assert found == pytest.approx(plain, abs=0.1)


@pytest.mark.parametrize("classes", [2, 10])
def test_the_rates_on_probability_vectors_are_those_of_a_plain_fit(classes):
    draws = np.random.default_rng(classes)
    members, non_members, forgotten = (
        vectors_like(draws, size, classes, scale)
        for size, scale in ((1100, 4.0), (1100, 2.0), (5000, 3.0))
    )
    often = np.repeat(np.arange(1100), draws.choice([1, 5], 1100, p=[0.9, 0.1]))
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


@pytest.mark.parametrize("shape", [(1,), (20,), (800,), (20, 3), (800, 3)])
def test_where_all_scores_tie_all_are_members_as_a_plain_fit_says(shape):
    same = np.full(shape, 0.5)
    assert plain_fit(same, same).predict(same.reshape(len(same), -1)).all()
    assert ScoreAttack(same, same).is_member(same).all()


@pytest.mark.parametrize(("size", "classes"), [(300, 1), (1100, 1), (1100, 3)])
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


def test_shadow_sets_are_drawn_from_all_samples():
    assert shadow_rows(10, 1000, 0)[1].max() > 500
    assert shadow_rows(1000, 10, 0)[0].max() > 500
