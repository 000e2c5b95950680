"""Rates of false positives of single records against loops, exact intervals and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import nct, norm, t

from mu.evaluation.attacks.exposure import Exposure, exposure, resolved
from mu.evaluation.attacks.likelihood import ENOUGH
from tests.evaluation.attacks.test_likelihood import games, halves
from tests.helpers import laws


def slowly(phi, references, seen, *, enough):
    """The rate of each sample in percent, one at a time, of references that did not see it."""
    out = [references[~seen[:, one], one] for one in range(len(phi))]
    squares = [((values - values.mean()) ** 2).sum() for values in out]
    found = []
    for sample, value in enumerate(phi):
        n = len(out[sample])
        if len(references) >= enough:
            total, freedom = squares[sample], n - 1
        else:
            total, freedom = sum(squares), sum(len(values) - 1 for values in out)
        if freedom == 0:
            found.append(np.nan)
            continue
        deviation = max(np.sqrt(total / freedom), 1e-3)
        further = (value - out[sample].mean()) / (deviation * np.sqrt(1 + 1 / n))
        found.append(100 * t(freedom).sf(further))
    return np.array(found)


@laws()
@given(games(), st.sampled_from([2, 6, ENOUGH]))
def test_as_the_loop_says(game, enough):
    found = exposure(*game, enough=enough)
    expected = slowly(*game, enough=enough)
    assert found.rate == pytest.approx(expected, rel=1e-6, abs=1e-12, nan_ok=True)
    assert found.known == np.isfinite(expected).all()
    if found.known:
        assert (found.low >= 0).all()
        assert (found.low <= found.rate).all()
        assert (found.rate <= found.high).all()
        assert (found.high <= 100).all()


@laws()
@given(games(), st.floats(0.1, 5), st.floats(-5, 5), st.floats(0, 3))
def test_only_the_place_among_the_references_counts_and_the_surer_the_lower(
    game, scale, shift, more
):
    phi, references, seen = game
    found = exposure(phi, references, seen).rate
    moved = exposure(scale * phi + shift, scale * references + shift, seen).rate
    assert moved == pytest.approx(found, rel=1e-3, abs=1e-9, nan_ok=True)
    surer = exposure(phi + more, references, seen).rate
    assert (surer <= found * (1 + 1e-9)).all() or np.isnan(found).all()


def test_references_that_saw_a_sample_do_not_matter():
    draws = np.random.default_rng(0)
    seen = halves(8, 5, draws)
    references, phi = draws.normal(size=seen.shape), draws.normal(size=5)
    other = np.where(seen, 100 * draws.normal(size=seen.shape), references)
    assert np.array_equal(exposure(phi, references, seen).rate, exposure(phi, other, seen).rate)


@pytest.mark.parametrize(("count", "enough"), [(8, 64), (64, 64), (16, 2)])
def test_of_samples_never_trained_on_1_percent_have_a_rate_of_1_percent(count, enough):
    """Whatever the number of references: with few, the rate allows for what they do not show."""
    draws = np.random.default_rng(count)
    samples = 40_000
    seen = halves(count, samples, draws)
    level = draws.normal(0, 20, samples)
    references = level + 3 * draws.normal(size=seen.shape)
    true = draws.normal(size=samples)  # in standard deviations of what it would be untrained
    found = exposure(level + 3 * true, references, seen, enough=enough)
    for limit in (1, 5, 50):
        error = 4 * np.sqrt(limit * (100 - limit) / samples)
        assert 100 * (found.rate <= limit).mean() == pytest.approx(limit, abs=error)
    tail = 100 * norm.sf(true)
    covered = ((found.low <= tail) & (tail <= found.high)).mean()
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize("z", [0.0, 1.5, 2.5, 4.0])
def test_the_interval_is_nearly_the_exact_one(z):
    """Of a mean and a standard deviation of 32 normal values: by the noncentral t distribution."""
    values = norm.ppf((np.arange(32) + 0.5) / 32)
    values = (values - values.mean()) / values.std(ddof=1)
    references = np.concatenate([values, np.zeros(32)])[:, None]
    seen = (np.arange(64) >= 32)[:, None]
    found = exposure(np.array([z]), references, seen)
    root = np.sqrt(32)

    def end(level):
        return brentq(lambda c: nct.cdf(root * z, 31, root * c) - level, z - 1.5, z + 1.5)

    exact = sorted((end(0.025), end(0.975)))
    ends = norm.isf(np.array([found.high[0], found.low[0]]) / 100)
    assert ends == pytest.approx(exact, abs=0.09)


def test_the_share_of_exposed_records_and_what_may_be():
    rate = np.array([0.5, 0.9, 1.5, 40, *[50] * 96])
    low = np.array([0.1, 0.2, 0.8, 0.9, *[20] * 96])
    high = np.array([0.9, 2.0, 9.0, 90, *[99] * 96])
    share, least, most = Exposure(rate, low, high, -rate).exposed()
    assert share == 2
    assert most == pytest.approx(7.0, abs=0.1)  # Wilson's of 2 in 100; 4 may be
    assert least == pytest.approx(0.55, abs=0.05)  # 1 is for sure
    share, least, most = Exposure(rate, np.zeros(100), high, -rate).exposed()
    assert (share, most) == (2, 100)
    assert Exposure(rate, low, np.full(100, 99.0), -rate).exposed()[1] == 0
    assert Exposure(rate, low, high, -rate).part(slice(2, None)).exposed()[0] == 0


def test_1_percent_needs_references_and_images_that_nobody_saw():
    assert resolved(8, 100)
    assert not resolved(6, 100)
    assert not resolved(8, 99)
