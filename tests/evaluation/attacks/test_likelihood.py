"""LiRA against loops over samples with scipy's normal distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mu.evaluation.attacks.likelihood import ENOUGH, FLOOR, lira
from tests.helpers import laws


def slowly(phi, references, seen, *, enough):
    """The attack, a sample at a time."""
    found = []
    for sample, value in enumerate(phi):
        logs = []
        for side in (seen, ~seen):
            of_sample = references[side[:, sample], sample]
            if len(references) >= enough:
                spread = of_sample.std(ddof=1) if len(of_sample) > 1 else 0.0
            else:
                deviations = np.concatenate(
                    [
                        references[side[:, one], one] - references[side[:, one], one].mean()
                        for one in range(len(phi))
                    ]
                )
                freedom = len(deviations) - len(phi)
                spread = np.sqrt((deviations**2).sum() / max(freedom, 1))
            logs.append(norm.logpdf(value, of_sample.mean(), max(spread, FLOOR)))
        found.append(logs[0] - logs[1])
    return np.array(found)


def halves(references, samples, draws):
    """Which reference saw what: in pairs, so that each sample was seen by half of them."""
    first = draws.random((references // 2, samples)) < 0.5
    return np.concatenate([first, ~first])


@st.composite
def games(draw):
    """Log-odds of a target and of references, and what these saw."""
    pairs, samples = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    draws = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seen = halves(2 * pairs, samples, draws)
    level = draws.normal(0, 5, samples)
    references = level + seen * draws.normal(2, 1, samples) + draws.normal(0, 1, seen.shape)
    return level + draws.normal(1, 2, samples), references, seen


@laws()
@given(games(), st.sampled_from([2, 6, ENOUGH]))
def test_as_the_loops_say(game, enough):
    assert lira(*game, enough=enough) == pytest.approx(
        slowly(*game, enough=enough), rel=1e-6, abs=1e-6
    )


def test_by_default_64_references_are_enough_for_variances_of_their_own():
    draws = np.random.default_rng(0)
    for count in (62, 64):
        seen = halves(count, 5, draws)
        references = draws.normal(0, np.arange(1, 6), seen.shape)
        phi = draws.normal(size=5)
        own, shared = (
            slowly(phi, references, seen, enough=2),
            slowly(phi, references, seen, enough=99),
        )
        assert lira(phi, references, seen) == pytest.approx(own if count == 64 else shared)


@pytest.mark.parametrize("enough", [2, ENOUGH])
def test_references_that_agree_on_everything(enough):
    seen = halves(4, 3, np.random.default_rng(3))
    assert np.array_equal(lira(np.ones(3), np.ones((4, 3)), seen, enough=enough), np.zeros(3))
    by_training = np.where(seen, 2.0, 1.0)
    found = lira(np.array([2.0, 1.0, 1.6]), by_training, seen, enough=enough)
    assert np.isfinite(found).all()
    assert found[0] > found[2] > 0 > found[1]


@pytest.mark.parametrize("value", [True, False])
def test_a_sample_that_all_saw_or_none_is_refused(value):
    seen = np.array([[True, value], [False, value]])
    with pytest.raises(ValueError, match="1 samples were seen by all references or by none"):
        lira(np.zeros(2), np.zeros((2, 2)), seen)


def test_shapes_that_do_not_fit_and_values_that_are_no_numbers():
    seen = np.array([[True, False], [False, True]])
    for phi, references in (
        (np.zeros(3), np.zeros((2, 2))),
        (np.zeros(2), np.zeros((2, 3))),
        (np.zeros(2), np.zeros(2)),
    ):
        with pytest.raises(ValueError, match="shapes do not fit"):
            lira(phi, references, seen)
    with pytest.raises(ValueError, match="finite"):
        lira(np.array([0.0, np.nan]), np.zeros((2, 2)), seen)
    with pytest.raises(ValueError, match="finite"):
        lira(np.zeros(2), np.array([[0.0, np.inf], [0, 0]]), seen)
