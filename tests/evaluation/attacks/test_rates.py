"""AUC and true positives, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import roc_auc_score, roc_curve

from mu.evaluation.attacks.rates import Curve, auc_interval, rates


def by_sklearn(members, others, false_positives):
    """The most true positives among thresholds with at most so many false ones."""
    truth = np.repeat([1, 0], [len(members), len(others)])
    scores = np.concatenate([members, others])
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return roc_auc_score(truth, scores), tpr[fpr <= false_positives + 1e-12].max()


few = st.lists(st.integers(-4, 4), min_size=1, max_size=40)


@given(few, few, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_as_scikit_learn_with_ties_and_sizes_that_differ(members, others, false_positives):
    one, other = np.array(members, float), np.array(others, float)
    curve = Curve.of(one, other)
    auc, tpr = by_sklearn(one, other, false_positives)
    assert float(curve.auc()) == pytest.approx(auc, abs=1e-12)
    assert float(curve.true_positives(false_positives)) == pytest.approx(100 * tpr, abs=1e-10)


@given(few, few)
def test_order_does_not_matter_and_turned_scores_turn_the_auc(members, others):
    one, other = np.array(members, float), np.array(others, float)
    found = rates(one, other)
    assert found == rates(one[::-1], np.sort(other))
    assert rates(-one, -other)["auc"] == pytest.approx(1 - found["auc"], abs=1e-12)


def test_rates_need_enough_non_members_to_be_shown():
    draws = np.random.default_rng(0)
    for count, names in ((99, set()), (100, {"tpr_at_1"}), (1000, {"tpr_at_1", "tpr_at_01"})):
        found = rates(draws.normal(size=50), draws.normal(size=count))
        ends = {f"{name}{end}" for name in {"auc", *names} for end in ("", "_lo", "_hi")}
        assert set(found) == ends


def test_a_perfect_score_and_one_that_says_nothing():
    perfect = rates(np.full(200, 1.0), np.zeros(1000))
    assert perfect["auc"] == perfect["auc_lo"] == perfect["auc_hi"] == 1.0
    assert perfect["tpr_at_01"] == 100.0
    nothing = rates(np.zeros(200), np.zeros(1000))
    assert nothing["auc"] == 0.5
    assert nothing["tpr_at_1"] == 0.0


def test_the_interval_is_at_95_percent():
    """Every member passes all non-members or none, so their AUC is a share of the members."""
    found = rates(np.repeat([1.0, 0.0], [300, 100]), np.full(50, 0.5), resamples=20_000)
    exact = binom.ppf([0.025, 0.975], 400, 0.75) / 400
    assert (found["auc_lo"], found["auc_hi"]) == pytest.approx(exact, abs=0.003)  # 90 %: 0.007 off


def test_intervals_follow_the_seed():
    draws = np.random.default_rng(2)
    one, other = draws.normal(1, 1, 300), draws.normal(0, 1, 300)
    assert rates(one, other, seed=1) == rates(one, other, seed=1)
    assert rates(one, other, seed=1)["auc_lo"] != rates(one, other, seed=2)["auc_lo"]


def test_the_curve_ends_where_all_are_called_members():
    false, true = Curve.of(np.array([1.0, 2.0]), np.array([1.0, 0.0, 3.0])).points()
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()


@pytest.mark.parametrize(("members", "others"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0])])
def test_refuses_what_has_no_rates(members, others):
    with pytest.raises(ValueError, match=r"at least one|numbers"):
        rates(np.array(members), np.array(others))


def test_none_found_of_few_is_not_certain():
    # Drawn again, none of five stays none; Wilson's interval of 0 of 5 ends at 43 %.
    found = rates(np.zeros(5), np.ones(200))
    assert found["tpr_at_1"] == found["tpr_at_1_lo"] == 0
    assert found["tpr_at_1_hi"] == pytest.approx(43.45, abs=0.01)
    found = rates(np.ones(5), np.zeros(200))
    assert found["tpr_at_1_hi"] == 100
    assert found["tpr_at_1_lo"] == pytest.approx(56.55, abs=0.01)


def test_the_interval_without_drawing_agrees_with_the_bootstraps():
    draws = np.random.default_rng(1)
    members = np.round(draws.normal(0.4, 1, 300), 1)  # some of them tie
    others = np.round(draws.normal(0, 1, 200), 1)
    auc, low, high = auc_interval(members, others)
    pairs = np.sign(members[:, None] - others).mean() / 2 + 0.5
    assert auc == pytest.approx(pairs)
    drawn = rates(members, others, seed=0)
    assert (low, high) == pytest.approx((drawn["auc_lo"], drawn["auc_hi"]), abs=0.01)
    assert auc_interval(np.ones(5), np.ones(7)) == (0.5, 0.5, 0.5)  # all tie
    assert auc_interval(np.ones(5), np.zeros(7)) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        auc_interval(np.ones(0), np.ones(3))
