"""KLoM against NumPy's histograms and SciPy's entropy, sample by sample."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mu.evaluation.distance.klom import klom, klom_by_part
from tests.evaluation.distance.looks import SIZES, look, reordered

BINS, SMALLEST_CHANCE = 20, 1e-5  # the authors'


def of_one_sample(ours, oracles):
    """The definition, for the margins of one sample."""
    ours, oracles = (np.clip(one, -100, 100) for one in (ours, oracles))
    ends = (min(ours.min(), oracles.min()), max(ours.max(), oracles.max()))
    if ends[0] == ends[1]:
        return 0.0
    p, q = (np.histogram(one, BINS, ends)[0] / len(one) for one in (ours, oracles))
    for place in range(BINS):
        if p[place] > 0:
            q[place] = max(q[place], SMALLEST_CHANCE)
    return stats.entropy(p, q)  # which scales q to sum to 1


def drawn(models, samples, seed, shift=0.0):
    return shift + torch.randn(
        models, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize(("ours", "theirs"), [(2, 2), (2, 5), (30, 30), (100, 40)])
@pytest.mark.parametrize("shift", [0.0, 1.5, 300.0])
def test_as_numpy_and_scipy_sample_by_sample(ours, theirs, shift):
    one, other = drawn(ours, 25, 1, shift), drawn(theirs, 25, 2)
    expected = [of_one_sample(one[:, n].numpy(), other[:, n].numpy()) for n in range(25)]
    np.testing.assert_allclose(klom(one, other), expected, rtol=0, atol=1e-12)
    assert klom(one, other).dtype == torch.float64


def test_the_same_models_are_exactly_0_apart_however_often_and_in_whatever_order():
    one = drawn(7, 50, 1)
    assert (klom(one, one) == 0).all()
    assert (klom(one.flip(0), one) == 0).all()
    assert (klom(torch.cat([one, one, one]), one) == 0).all()


def test_the_largest_value_and_infinite_margins():
    apart = klom(torch.full((3, 1), torch.inf), torch.full((4, 1), -torch.inf))
    assert float(apart) == pytest.approx(math.log(1 / SMALLEST_CHANCE), abs=1e-4)
    sure = torch.full((3, 2), torch.inf)
    assert klom(sure, sure).tolist() == [0, 0]
    assert klom(sure, torch.full((2, 2), 100.0)).tolist() == [0, 0]  # clipped to the same
    assert (klom(sure, torch.full((2, 2), 99.9)) > 11).all()


def test_a_percentile_and_the_mean_of_each_part():
    ours, oracles = [look(seed) for seed in (1, 2, 3)], [look(seed) for seed in (4, 5)]
    found = klom_by_part(ours, oracles)
    assert set(found) == {f"klom_{part}{end}" for part in SIZES for end in ("", "_mean")}
    for part in SIZES:
        one, other = (
            np.array([getattr(model, part).score("margin").numpy() for model in models])
            for models in (ours, oracles)
        )
        expected = [of_one_sample(one[:, n], other[:, n]) for n in range(SIZES[part])]
        assert found[f"klom_{part}"] == pytest.approx(np.percentile(expected, 95))
        assert found[f"klom_{part}_mean"] == pytest.approx(np.mean(expected))
    moved = [[reordered(model) for model in models] for models in (ours, oracles)]
    assert klom_by_part(*moved) == pytest.approx(found)


def test_one_sample_and_none():
    assert klom(drawn(3, 1, 1), drawn(3, 1, 2)).shape == (1,)
    assert klom(drawn(3, 0, 1), drawn(3, 0, 2)).shape == (0,)


def test_refuses_what_has_no_distribution():
    one = drawn(3, 4, 1)
    with pytest.raises(ValueError, match="shape"):
        klom(one, one[:, :3])
    with pytest.raises(ValueError, match="shape"):
        klom(one[:, 0], one[:, 0])
    with pytest.raises(ValueError, match="numbers"):
        klom(one * torch.nan, one)
    with pytest.raises(ValueError, match="at least 2"):
        klom_by_part([look(1)], [look(2), look(3)])
    with pytest.raises(ValueError, match="at least 2"):
        klom_by_part([], [])
    with pytest.raises(ValueError, match="different forget samples"):
        klom_by_part([look(1), look(2)], [look(3), look(4, labels_seed=98)])
