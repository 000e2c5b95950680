"""The proximal step against a scalar loop, and against problems whose solution is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.data import load_data
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train
from mu.training.optimizers import soft_threshold
from tests.helpers import bits, laws

SINGLE = st.floats(-2, 2, width=32)


def slow(value, threshold):
    """sign(w) max(|w| - t, 0) of one number, in its own precision; zero has no sign."""
    left = abs(value) - np.float32(threshold)
    if left <= 0:
        return np.float32(0)
    return left if value > 0 else -left


@laws(100)
@given(
    values=st.lists(st.lists(SINGLE, max_size=6), min_size=1, max_size=3),
    threshold=st.floats(2**-20, 2, width=32),
)
def test_each_weight_goes_as_in_a_scalar_loop(values, threshold):
    weights = [nn.Parameter(torch.tensor(one, dtype=torch.float32)) for one in values]
    soft_threshold(weights, threshold)
    for weight, one in zip(weights, values, strict=True):
        expected = [slow(np.float32(value), threshold) for value in one]
        assert np.array_equal(bits(weight), bits(torch.tensor(expected, dtype=torch.float32)))


def test_zeros_have_no_sign_and_what_is_no_number_stays_one():
    weight = torch.tensor([-0.0, 0.0, -1e-9, -0.5, 0.5, -math.inf, math.nan])
    soft_threshold([weight], 0.5)
    assert not bits(weight[:5]).any()
    assert weight[5] == -math.inf
    assert weight[6].isnan()


def test_a_threshold_of_zero_changes_nothing():
    weight = torch.tensor([-3.0, -1e-38, 0.0, 2.5])
    before = weight.clone()
    soft_threshold([weight], 0.0)
    assert np.array_equal(bits(weight), bits(before))


def test_the_order_in_memory_stays():
    weight = torch.randn(3, 4, 5, 5).to(memory_format=torch.channels_last)
    soft_threshold([weight], 0.1)
    assert weight.is_contiguous(memory_format=torch.channels_last)


# --- sparse problems with a known solution --------------------------------------------------


class Weights(nn.Module):
    """A row of weights that no image has anything to do with."""

    def __init__(self, count):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, count))

    def forward(self, images):
        return self.weight.expand(len(images), -1)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_descent_with_it_ends_at_the_lasso(momentum):
    """Of a/2 (w - b)^2 + alpha |w|, at sign(b) max(|b| - alpha / a, 0)."""
    curvature, alpha = 2.0, 0.6
    targets = torch.tensor([-1.0, -0.31, -0.29, 0.0, 0.1, 0.29, 0.31, 0.9])
    model = Weights(len(targets))
    data = load_data("digits").training_subset(np.arange(64))
    training = Training(
        epochs=100, lr=0.02, batch_size=16, momentum=momentum, weight_decay=0.0,
        schedule="constant", augment="none",
    )  # fmt: skip

    train(
        model,
        data,
        training,
        Run(device="cpu"),
        loss=lambda rows, _: curvature / 2 * (rows[0] - targets).square().sum(),
        after_step=lambda _, rate: soft_threshold([model.weight], rate * alpha / (1 - momentum)),
    )

    solution = targets.sign() * (targets.abs() - alpha / curvature).clamp(min=0)
    assert torch.allclose(model.weight, solution, atol=1e-5)
    assert torch.equal(model.weight == 0, solution == 0)
