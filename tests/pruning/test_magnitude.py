"""Magnitude pruning, in one shot and in rounds, against a slow sort of all weights, one by one."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.masks import Mask
from mu.models import ModelSpec
from mu.pruning import make_pruner
from mu.pruning.magnitude import IMP, OMP
from mu.runs import Run
from tests.helpers import (
    as_arrays,
    bits,
    laws,
    make_dataset,
    prunable,
    refused,
    same_masks,
)

DATASET = make_dataset(train=12, test=6)
DATA = DATASET.training_subset(np.arange(12))
RATES = st.sampled_from([0.0, 0.2, 0.5, 0.9, 0.95, 0.999]) | st.floats(0, 1, exclude_max=True)


class Weights(nn.Module):
    """A module of bare parameters."""

    def __init__(self, values):
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(torch.as_tensor(value)))


@st.composite
def networks(draw):
    """Parameters of few distinct magnitudes, so that there are ties, and a mask of them."""
    shapes = draw(st.lists(st.sampled_from([(3,), (2, 4), (5, 1, 3), ()]), min_size=1, max_size=4))
    weights, kept = {}, {}
    for name, shape in zip(draw(st.permutations("abcd")), shapes, strict=False):
        count = int(np.prod(shape))
        values = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
        weights[name] = np.array(values, np.float32).reshape(shape) / 4
        flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        kept[name] = torch.tensor(flags, dtype=torch.bool).reshape(shape)
    return Weights(weights), Mask(kept)


def prune(model, mask, rate):
    return OMP(rate=rate).prune(model, mask, DATA, Run(device="cpu"))


def dense(model):
    return Mask.dense(model, [name for name, _ in model.named_parameters()])


def slow_pruning(model, mask, count):
    """Sort all kept weights by magnitude, one by one; ties by name, then by place."""
    kept = as_arrays(mask)
    candidates = [
        (abs(float(model.get_parameter(name).detach().reshape(-1)[place])), name, place)
        for name in sorted(kept)
        for place in np.flatnonzero(kept[name])
    ]
    found = {name: array.copy() for name, array in kept.items()}
    for _, name, place in sorted(candidates)[:count]:
        found[name].reshape(-1)[place] = False
    return Mask({name: torch.from_numpy(array) for name, array in found.items()})


@laws(80)
@given(network=networks(), rate=RATES)
def test_it_prunes_what_a_slow_sort_would(network, rate):
    model, mask = network

    assert same_masks(prune(model, mask, rate), slow_pruning(model, mask, round(rate * mask.kept)))


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.95, 0.999])
def test_a_network_is_pruned_to_the_weight_and_left_as_it_was(rate):
    model = ModelSpec("resnet20", 10, 3).build(0).train()
    before = copy.deepcopy(model.state_dict())
    names = prunable(model)
    start = Mask.dense(model, names)
    total = sum(model.get_parameter(name).numel() for name in names)

    mask = prune(model, start, rate)

    assert start.is_dense
    assert (mask.total, mask.kept) == (total, total - round(rate * total))
    smallest = min(
        float(model.get_parameter(name).detach()[mask[name]].abs().min())
        for name in names
        if mask[name].any()
    )
    pruned = [model.get_parameter(name).detach()[~mask[name]].abs() for name in names]
    assert all(not len(part) or float(part.max()) <= smallest for part in pruned)
    after = model.state_dict()
    assert all(np.array_equal(bits(before[name]), bits(after[name])) for name in before)
    assert model.training
    assert all(one.grad is None and one.requires_grad for one in model.parameters())


def test_the_order_of_weights_in_memory_does_not_count():
    model = nn.Conv2d(4, 6, 3)
    plain = prune(model, Mask.dense(model, ["weight"]), 0.7)
    other = model.to(memory_format=torch.channels_last)

    assert same_masks(prune(other, Mask.dense(other, ["weight"]), 0.7), plain)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_out_of_range_is_refused(rate):
    with refused(f"rate={rate}", "at least 0 and below 1"):
        make_pruner("omp", {"rate": rate})


def test_omp_refuses_rounds():
    with refused("rounds=2", "omp prunes in one round", "pruner=imp"):
        make_pruner("omp", {"rounds": 2})


@laws()
@given(network=networks(), rate=RATES, rounds=st.integers(1, 5), data=st.data())
def test_imp_prunes_in_each_round_what_a_slow_sort_of_the_weights_of_then_would(
    network, rate, rounds, data
):
    """Between the rounds the weights change, as they do in training."""
    model, mask = network
    total = mask.kept
    for after_round in range(1, rounds + 1):
        keep = IMP(rate=rate).keeps(total, after_round)
        later = IMP(rate=rate).prune(model, mask, DATA, Run(device="cpu"), keep=keep)

        assert later.kept == total - round(total * (1 - (1 - rate) ** after_round))
        assert same_masks(later, slow_pruning(model, mask, mask.kept - keep))
        mask = later
        scale = data.draw(st.sampled_from([-1.0, 0.5, 3.0]))
        model.load_state_dict(
            {
                name: one.flip(0) * scale if one.ndim else one
                for name, one in model.state_dict().items()
            }
        )


def test_the_defaults_are_those_of_the_paper():
    assert (OMP().rate, OMP().rounds, OMP().when) == (0.95, 1, "trained")
    assert (IMP().rate, IMP().rounds, IMP().when) == (0.2, 5, "trained")
