"""The interval of a paired difference: a published example, laws, and how often it holds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.outputs import Outputs
from mu.evaluation.paired import accuracy_difference, paired_interval
from tests.helpers import laws

counts = st.integers(0, 60)


def outputs(right: list[bool]) -> Outputs:
    labels = torch.zeros(len(right), dtype=torch.int64)
    logits = torch.tensor([[1.0, 0.0] if one else [0.0, 1.0] for one in right]).double()
    return Outputs(logits, labels)


def test_the_interval_is_that_of_newcombes_own_example() -> None:
    assert paired_interval(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@laws(200)
@given(both=counts, ours=counts, theirs=counts, neither=counts)
def test_it_holds_the_difference_has_a_width_and_turns_with_the_models(
    both: int, ours: int, theirs: int, neither: int
) -> None:
    count = both + ours + theirs + neither
    if not count:
        return
    low, high = paired_interval(both, ours, theirs, neither)
    assert -1 - 1e-9 <= low <= (ours - theirs) / count <= high <= 1 + 1e-9
    assert high - low > 0
    turned = paired_interval(both, theirs, ours, neither)
    assert turned == pytest.approx((-high, -low), abs=1e-12)


def test_accuracies_are_compared_sample_by_sample_in_points() -> None:
    ours, theirs = (
        outputs([True] * 48 + [False] * 2),
        outputs([True] * 36 + [False] * 12 + [True] * 2),
    )
    found = accuracy_difference(ours, theirs)
    assert found.value == pytest.approx(20.0)
    assert (found.low, found.high) == pytest.approx((5.69, 34.04), abs=5e-3)
    assert found.value == pytest.approx(ours.accuracy() - theirs.accuracy())


def test_agreement_is_corrected_for_continuity() -> None:
    # Two models that never differ: both counts are Wilson's, with the correlation below 1.
    right, wrong = 120, 33
    n, z = right + wrong, 1.959963984540054
    middle = (right + z * z / 2) / (n + z * z)
    half = z * ((right * wrong / n + z * z / 4) ** 0.5) / (n + z * z)
    below, above = right / n - (middle - half), middle + half - right / n
    phi = (right * wrong - n / 2) / (right * wrong)
    width = (below**2 - 2 * phi * below * above + above**2) ** 0.5
    assert paired_interval(right, 0, 0, wrong) == pytest.approx((-width, width), abs=1e-9)


def test_other_samples_are_refused() -> None:
    other = Outputs(outputs([True, True]).logits, torch.ones(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="same samples"):
        accuracy_difference(outputs([True, True]), other)
