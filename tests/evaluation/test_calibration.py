"""Calibration, against a loop over samples."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.calibration import ece, reliability
from mu.evaluation.outputs import Outputs

rows = st.lists(
    st.tuples(st.lists(st.floats(-8, 8), min_size=3, max_size=3), st.integers(0, 2)), min_size=1
)


def by_hand(outputs, bins):
    members = [[] for _ in range(bins)]
    for row, said, label in zip(
        outputs.logits.softmax(1), outputs.predictions, outputs.labels, strict=True
    ):
        surest = float(row.max())
        place = max(0, min(bins - 1, math.ceil(surest * bins) - 1))
        members[place].append(surest - float(said == label))
    return 100 * sum(abs(sum(one)) for one in members) / len(outputs)


@given(rows, st.integers(1, 20))
def test_as_by_hand(pairs, bins):
    outputs = Outputs(
        torch.tensor([row for row, _ in pairs], dtype=torch.float64),
        torch.tensor([label for _, label in pairs]),
    )
    assert ece(outputs, bins) == pytest.approx(by_hand(outputs, bins), abs=1e-9)
    assert reliability(outputs, bins)[0].sum() == len(pairs)


def test_sure_and_right_is_calibrated_sure_and_wrong_is_not():
    logits = torch.tensor([[60.0, 0.0], [60.0, 0.0]], dtype=torch.float64)
    assert ece(Outputs(logits, torch.tensor([0, 0]))) == pytest.approx(0)
    assert ece(Outputs(logits, torch.tensor([1, 1]))) == pytest.approx(100)
