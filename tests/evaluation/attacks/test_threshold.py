"""Thresholds by class, against trying all of them."""

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.attacks.threshold import ThresholdAttack, threshold
from mu.evaluation.outputs import Outputs

scores = st.lists(st.integers(0, 6), min_size=1, max_size=20)


@given(scores, scores)
def test_of_thresholds_that_are_as_good_the_lowest_is_taken(members, others):
    """All of them are tried, in fractions: no rounding decides between two."""
    one, other = np.array(members, float), np.array(others, float)

    def exact(limit):
        return Fraction(int((one >= limit).sum()), len(one)) + Fraction(
            int((other < limit).sum()), len(other)
        )

    tried = sorted({*members, *others})
    best = max(map(exact, tried))
    assert threshold(one, other) == min(limit for limit in tried if exact(limit) == best)


def outputs(confidences, labels):
    """Two classes; the true one has this probability."""
    own = torch.tensor(confidences, dtype=torch.float64).logit()
    where = torch.tensor(labels)
    logits = torch.zeros(len(own), 2, dtype=torch.float64)
    return Outputs(logits.scatter(1, where[:, None], own[:, None]), where)


def test_each_class_has_its_own():
    members = outputs([0.9, 0.9, 0.6, 0.6], [0, 0, 1, 1])
    others = outputs([0.7, 0.7, 0.3, 0.3], [0, 0, 1, 1])
    attack = ThresholdAttack(members, others)
    assert attack.is_member(outputs([0.95, 0.8, 0.65, 0.5], [0, 0, 1, 1])).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_a_sample_right_at_the_threshold_is_a_member():
    members, others = outputs([0.9, 0.6], [0, 1]), outputs([0.7, 0.3], [0, 1])
    assert ThresholdAttack(members, others).is_member(members).all()


def test_a_class_that_is_not_there_is_judged_by_all():
    members, others = outputs([0.9, 0.8], [0, 0]), outputs([0.2, 0.3], [0, 0])
    found = ThresholdAttack(members, others).is_member(outputs([0.85, 0.1], [1, 1]))
    assert found.tolist() == [True, False]
