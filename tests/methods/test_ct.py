"""CT: kernels swap their directions, under the mask, and the updates by hand."""

import copy

import pytest
import torch
from torch import nn

from mu.methods.steps.resetting import transpose_kernels
from tests.methods.exact import ByHand, check_equal, original, split_of, unlearned, whole
from tests.methods.test_rl import mean_loss

SMALL = {"epochs": 8}  # until what was exchanged is repaired
BLIND = ("forget",)


def transposed(start):
    """Weight by weight: what lands on a pruned place is lost."""
    found = copy.deepcopy(start)
    for name in ("conv.weight", "second.weight"):
        old, kept = start.model.get_parameter(name), start.mask[name]
        new = torch.zeros_like(old)
        for a, b, row, column in kept.nonzero().tolist():
            new[a, b, row, column] = old[a, b, column, row]
        found.model.get_parameter(name).data.copy_(new)
    return found


@pytest.mark.parametrize("epochs", [1, 3])
def test_its_updates_are_those_written_out(epochs):
    start, split = original(), split_of()
    slow = ByHand(transposed(start))
    retain, known = whole(split.retain_set)
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(retain), known))
    check_equal(unlearned("ct", start, split, epochs), slow.model)


def test_dense_kernels_are_back_after_two_swaps_and_others_are_left_alone():
    start = original(1.0)
    found = copy.deepcopy(start)
    assert transpose_kernels(found) == 2
    assert not torch.equal(found.model.conv.weight, start.model.conv.weight)
    assert torch.equal(found.model.head.weight, start.model.head.weight)
    transpose_kernels(found)
    assert torch.equal(found.model.conv.weight, start.model.conv.weight)


def test_kernels_of_one_pixel_have_nothing_to_swap():
    start = original(1.0)
    start.model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(72, 4))
    start.mask = type(start.mask)({})
    assert transpose_kernels(start) == 0
