"""Numbers of single samples, against plain arithmetic; the scores of attacks are in test_scores."""

import math

import pytest
import torch

from mu.evaluation.outputs import Outputs
from mu.evaluation.reductions import REDUCTIONS
from tests.evaluation.distance.looks import outputs


def test_margins_are_the_log_odds_of_the_true_class():
    one = outputs(40, 5, seed=3)
    found = one.score("margin")
    for row, label, margin in zip(one.logits.tolist(), one.labels, found, strict=True):
        others = sum(math.exp(value) for k, value in enumerate(row) if k != label)
        assert float(margin) == pytest.approx(row[label] - math.log(others), rel=1e-12)
    torch.testing.assert_close(found, one.confidence().logit())


def test_margins_of_probabilities_0_and_1():
    logits = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0], [2000.0, 0.0]]).double()
    one = Outputs(logits, torch.tensor([0, 0, 0]))
    assert one.score("margin").tolist() == [torch.inf, -torch.inf, 2000.0]
    assert logits[0, 0] == 0  # what was given is left as it was


def test_margins_stay_exact_where_the_network_is_certain():
    logits = torch.tensor([[900.0, 0.0, 0.0], [0.0, 900.0, 0.0]]).double()
    found = Outputs(logits, torch.tensor([0, 0])).score("margin")
    assert found.tolist() == pytest.approx([900 - math.log(2), -900])


def test_the_log_confidence_is_finite_where_the_probability_is_not_to_be_told_from_zero():
    logits = torch.tensor([[0.0, 2000.0], [1.0, 0.0]]).double()
    found = Outputs(logits, torch.tensor([0, 0])).score("log_confidence")
    assert found.tolist() == pytest.approx([-2000.0, -math.log1p(math.exp(-1))])


def test_the_surest_probability_is_that_of_the_prediction():
    one = outputs(40, 5, seed=4)
    surest = Outputs(one.logits, one.predictions).confidence()
    assert torch.equal(one.score("surest"), surest)
    assert bool((one.score("surest") > one.confidence()).any())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_single_value_that_is_no_number_is_found(value):
    one = outputs(5, 3)
    assert one.finite
    assert one.reduced().finite
    logits = one.logits.clone()
    logits[3, 1] = value
    spoilt = Outputs(logits, one.labels)
    assert spoilt.score("finite").tolist() == [True, True, True, False, True]
    assert not spoilt.finite
    assert not spoilt.reduced().finite


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_samples_number_does_not_depend_on_the_others(name):
    one = outputs(50, 7, seed=5)
    whole = one.score(name)
    assert whole.shape == (50,)
    rows = [one.select(torch.tensor([n])).score(name) for n in range(50)]
    assert torch.equal(torch.cat(rows), whole)
