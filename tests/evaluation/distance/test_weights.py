"""The distance of weights against loops over all values."""

import copy
import math

import pytest
import torch
from torch import nn

from mu.evaluation.distance.weights import weight_distance
from tests.helpers import make_dataset

DATA = make_dataset()


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))


def slowly(ours, oracle):
    apart = length = 0.0
    theirs = dict(oracle.named_parameters())
    for name, parameter in ours.named_parameters():
        pairs = zip(parameter.flatten().tolist(), theirs[name].flatten().tolist(), strict=True)
        for one, other in pairs:
            apart += (one - other) ** 2
            length += other**2
    return math.sqrt(apart / length)


def test_as_loops_over_all_parameters():
    one, other = network(1), network(2)
    assert weight_distance(one, other) == pytest.approx(slowly(one, other), rel=1e-12)
    assert weight_distance(other, one) == pytest.approx(slowly(other, one), rel=1e-12)
    assert weight_distance(one, one) == 0


def test_buffers_do_not_count():
    one, other = network(1), network(2)
    expected = weight_distance(one, other)
    moved = copy.deepcopy(one)
    moved[1].running_mean += 100.0
    moved[1].running_var *= 100.0
    moved[1].num_batches_tracked += 100
    assert weight_distance(moved, one) == 0
    assert weight_distance(moved, other) == expected


def test_refuses_other_architectures_and_an_oracle_of_zeros():
    one = network(1)
    wider = nn.Sequential(*one[:3], nn.Linear(4, 2))
    for pair in ((one, one[:3]), (one[:3], one), (one, wider)):
        with pytest.raises(ValueError, match="different architectures"):
            weight_distance(*pair)
    zeros = network(1)
    torch._foreach_zero_([value.data for value in zeros.parameters()])
    with pytest.raises(ValueError, match="zero"):
        weight_distance(one, zeros)
