"""Scores of samples, against formulas written out row by row."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.membership import SCORES
from mu.evaluation.outputs import Outputs
from mu.evaluation.reductions import LOWEST

logit = st.floats(-5, 5)
rows = st.lists(st.tuples(st.lists(logit, min_size=3, max_size=3), st.integers(0, 2)), min_size=1)


def outputs(pairs):
    logits = torch.tensor([row for row, _ in pairs], dtype=torch.float64)
    return Outputs(logits, torch.tensor([label for _, label in pairs]))


def by_hand(row, label):
    """Song & Mittal's definitions in plain Python, where no probability is near 1."""
    total = math.fsum(math.exp(one) for one in row)
    p = [math.exp(one) / total for one in row]
    rest = [math.fsum(math.exp(o) for j, o in enumerate(row) if j != i) / total for i in range(3)]
    return {
        "correctness": float(p[label] == max(p)),
        "confidence": p[label],
        "entropy": math.fsum(one * math.log(one) for one in p),
        "m_entropy": rest[label] * math.log(p[label])
        + math.fsum(p[i] * math.log(rest[i]) for i in range(3) if i != label),
    }


@given(rows)
def test_scores_are_their_formulas(pairs):
    found = {name: score(outputs(pairs)) for name, score in SCORES.items()}
    for number, (row, label) in enumerate(pairs):
        for name, expected in by_hand(row, label).items():
            if name == "correctness" and sorted(row)[-1] - sorted(row)[-2] < 1e-12:
                continue  # by hand, both are the largest
            assert float(found[name][number]) == pytest.approx(expected, rel=1e-8, abs=1e-25), name
        assert found["prob"][number].sum() == pytest.approx(1)


def test_probabilities_of_exactly_0_and_1():
    sure = [[0.0, -math.inf, -math.inf], [-math.inf, 0.0, -math.inf]]
    found = {name: score(outputs([(row, 0) for row in sure])) for name, score in SCORES.items()}
    assert found["correctness"].tolist() == found["confidence"].tolist() == [1, 0]
    assert found["entropy"].tolist() == [0, 0]
    assert found["m_entropy"].tolist() == [0, 2 * LOWEST]  # sure, and wrong


def test_more_confidence_than_float64_holds_still_counts():
    """1 - p is below 1e-16 in both; the sum of the others has the digits."""
    less, more = (SCORES["m_entropy"](outputs([([top, 0.0, 0.0], 0)])) for top in (45.0, 60.0))
    assert float(less) < float(more) < 0
