"""UA, RA, TA and MIA counted by hand, and the gap."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.checkpoints import DataSpec, Spec
from mu.data import load_data
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.evaluation.gap import GAP_METRICS, gaps
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.evaluation.unlearning import evaluate, measure, predict_split
from mu.originals.train import make_recipe
from mu.runs import Run

DATA = load_data("digits")


def split_of(forget):
    parts = Spec(DataSpec.of(DATA), make_recipe(DATA)).split(DATA)
    return ForgetSplit.of(DATA, parts, ForgetRequest.parse(forget).select(DATA, parts, 0))


class AlwaysSays(torch.nn.Module):
    """Gives every image the same class, with certainty."""

    def __init__(self, label):
        super().__init__()
        self.answer = torch.nn.Parameter(20.0 * torch.eye(10)[label])

    def forward(self, images):
        return self.answer.expand(len(images), 10)


def share(labels, label):
    return 100 * float((labels == label).float().mean())


@pytest.mark.parametrize("forget", ["class:3", "random:10%", "class:3:20"])
def test_accuracies_are_those_counted_by_hand(forget):
    split = split_of(forget)
    found = evaluate(AlwaysSays(3), split, Run())
    train, test = DATA.train.labels, DATA.test.labels
    assert found["UA"] == pytest.approx(100 - share(train[split.forget], 3))
    assert found["RA"] == pytest.approx(share(train[split.retain], 3))
    if forget == "class:3":
        assert found["TA"] == 0
        assert found["TA_forgotten"] == 100
    else:
        assert found["TA"] == pytest.approx(share(test, 3))
        assert "TA_forgotten" not in found


def test_each_part_is_what_its_name_says():
    split = split_of("class:3")
    outputs = predict_split(AlwaysSays(0), split, Run())
    assert set(outputs.forget.labels.tolist()) == {3}
    assert 3 not in outputs.retain.labels
    assert 3 not in outputs.test.labels
    assert 3 not in split.val_set.labels
    assert outputs.test_forgotten is not None
    assert set(outputs.test_forgotten.labels.tolist()) == {3}


def outputs_of(confidences):
    """Two classes, all of class 0, with these probabilities."""
    chance = torch.tensor(confidences, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    logits = torch.stack([chance.logit(), torch.zeros_like(chance)], 1)
    return Outputs(logits, torch.zeros(len(chance)).long())


def test_mia_calls_what_looks_like_test_samples_non_members():
    draws = np.random.default_rng(0)
    member, non_member = 1 - 0.01 * draws.random(100), 0.5 * draws.random(60)
    forget = np.concatenate([member[:30], non_member[:10]])
    outputs = SplitOutputs(*map(outputs_of, (forget, member, non_member)), None)
    assert measure(outputs, seed=0)["MIA"] == pytest.approx(100 * 10 / 40)


numbers = st.fixed_dictionaries({name: st.floats(0, 100) for name in GAP_METRICS})


@given(metrics=numbers, oracle=numbers)
def test_the_gap_is_the_mean_absolute_difference(metrics, oracle):
    found = gaps(metrics, oracle)
    parts = [abs(metrics[name] - oracle[name]) for name in ("UA", "MIA", "RA", "TA")]
    assert found["gap"] == pytest.approx(sum(parts) / 4)
    assert found["gap_MIA"] == parts[1]
    assert gaps(oracle, metrics) == found
