"""Divergence and agreement against SciPy, row by row, and at the ends of their range."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from mu.evaluation.distance.divergence import divergences, js_divergence
from mu.evaluation.outputs import Outputs
from tests.evaluation.distance.looks import SIZES, look, outputs
from tests.helpers import laws


def softmax(row):
    parts = [math.exp(value - max(row)) for value in row]
    return [part / sum(parts) for part in parts]


def slowly(ours, oracle):
    pairs = zip(ours.tolist(), oracle.tolist(), strict=True)
    return [jensenshannon(softmax(one), softmax(other), base=2) ** 2 for one, other in pairs]


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("classes", [1, 2, 10])
def test_as_scipy_row_by_row(scale, classes):
    one, other = (outputs(30, classes, seed=seed, scale=scale).logits for seed in (1, 2))
    np.testing.assert_allclose(js_divergence(one, other), slowly(one, other), rtol=0, atol=1e-12)


def test_the_mean_of_each_part_by_its_own_name():
    one, other = look(1), look(2)
    found = divergences(one, other)
    assert set(found) == {f"{what}_{part}" for what in ("js", "agreement") for part in SIZES}
    for part in SIZES:
        ours, theirs = getattr(one, part), getattr(other, part)
        assert found[f"js_{part}"] == pytest.approx(np.mean(slowly(ours.logits, theirs.logits)))
        same = [int(a.argmax() == b.argmax()) for a, b in zip(ours.logits, theirs.logits, strict=1)]
        assert found[f"agreement_{part}"] == pytest.approx(100 * np.mean(same))


def test_a_model_against_itself_is_exactly_the_same():
    one = look(3, scale=30.0)
    assert divergences(one, one) == {
        f"{what}_{part}": value for what, value in (("js", 0), ("agreement", 100)) for part in SIZES
    }


NEVER = -math.inf


@pytest.mark.parametrize(
    ("ours", "oracle", "expected"),
    [
        ([0.0, NEVER], [NEVER, 0.0], 1.0),  # sure of different classes
        ([0.0, NEVER], [0.0, NEVER], 0.0),
        ([1000.0, 0.0], [0.0, 1000.0], 1.0),  # the same, where exp underflows
        ([0.0, NEVER], [0.0, 0.0], 1 - 0.75 * math.log2(3) + 0.5),  # by hand
        ([0.0, -745.0], [-745.0, 0.0], 1.0),  # probabilities that are not normal numbers
        ([0.0, -720.0], [-745.0, 0.0], 1.0),
        ([0.0, NEVER, NEVER], [NEVER, 3.0, 3.0], 1.0),
    ],
)
def test_probabilities_of_0_and_1(ours, oracle, expected):
    one, other = torch.tensor([ours]), torch.tensor([oracle])
    assert float(js_divergence(one, other)) == pytest.approx(expected, abs=1e-12)
    assert float(js_divergence(other, one)) == pytest.approx(expected, abs=1e-12)


def test_small_differences_do_not_drown_in_rounding():
    """To second order the divergence is the variance of the change over 8 log 2."""
    change = torch.tensor([[1e-7, 0.0, -2e-7]], dtype=torch.float64)
    at = torch.zeros(1, 3, dtype=torch.float64)
    expected = float(change.var(correction=0)) / (8 * math.log(2))
    assert float(js_divergence(at, at + change)) == pytest.approx(expected, rel=1e-3)


rows = st.lists(st.floats(-1e5, 1e5), min_size=3, max_size=3)


@laws(200)
@given(rows, rows)
def test_always_between_0_and_1(ours, oracle):
    found = float(js_divergence(torch.tensor([ours]), torch.tensor([oracle])))
    assert 0 <= found <= 1
    assert float(js_divergence(torch.tensor([ours]), torch.tensor([ours]))) == 0


def test_rounding_leaves_nothing_above_1():
    draws = torch.Generator().manual_seed(0)
    one, other = 40 * torch.randn(2, 20_000, 3, generator=draws, dtype=torch.float64)
    assert float(js_divergence(one, other).max()) == 1


@pytest.mark.parametrize("part", SIZES)
def test_refuses_other_samples_none_and_other_classes(part):
    one, other = look(1), look(2)
    mine = getattr(one, part)
    for bad, text in (
        (Outputs(mine.logits, (mine.labels + 1) % 4), f"different {part} samples"),
        (mine.select(torch.arange(3)), f"different {part} samples"),
        (mine.select(torch.arange(0)), f"no {part} samples"),
        (Outputs(mine.logits[:, :3], mine.labels), "3 and 4 classes"),
        (Outputs(mine.logits * torch.nan, mine.labels), "numbers"),
    ):
        changed = type(one)(**{**vars(one), part: bad})
        with pytest.raises(ValueError, match=text):
            divergences(changed, other)
