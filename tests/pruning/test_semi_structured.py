"""N:M pruning against a slow count, group by group, and as sparse kernels read it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from mu.models import ModelSpec
from mu.pruning.semi_structured import SemiStructured
from mu.runs import Run
from tests.helpers import as_arrays
from tests.pruning.networks import DATA, Net, dense, half


def prune(model, mask, **settings):
    return SemiStructured(**settings).prune(model, mask, DATA, Run(device="cpu"))


def groups(array, group):
    """Every group of consecutive input channels, for each output and place of the kernel."""
    rows = np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])
    return [row[start : start + group] for row in rows for start in range(0, len(row), group)]


@pytest.mark.parametrize(("rate", "group", "most"), [
    (0.5, 4, 2), (0.75, 4, 1), (0.95, 4, 1), (0.25, 4, 3), (0.5, 2, 1), (0.75, 8, 2),
])  # fmt: skip
def test_no_group_keeps_more_than_n_of_m_and_those_are_the_largest(rate, group, most):
    model = Net()
    found = as_arrays(prune(model, dense(model), rate=rate, group=group))
    for name, kept in found.items():
        sizes = np.abs(model.get_parameter(name).detach().numpy())
        for flags, values in zip(groups(kept, group), groups(sizes, group), strict=True):
            assert flags.sum() <= most
            assert not flags.any() or values[flags].min() >= values[~flags].max(initial=0)


def slowly(model, mask, keep, group):
    """Rank all weights in plain numbers: by their place in the group, then by size."""
    kept = as_arrays(mask)
    ranked = []
    for name in kept:
        sizes = np.abs(model.get_parameter(name).detach().numpy())
        for index in np.ndindex(sizes.shape):
            if not kept[name][index]:
                continue
            first = index[1] // group * group
            others = [
                (index[0], channel, *index[2:])
                for channel in range(first, min(first + group, sizes.shape[1]))
            ]
            place = sum(kept[name][one] and sizes[one] > sizes[index] for one in others)
            ranked.append((place, -sizes[index], name, index))
    chosen = sorted(ranked)[:keep]
    return {(name, index) for *_, name, index in chosen}


@pytest.mark.parametrize("start", [dense, half])
@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_weights_by_loops(start, rate):
    model = Net()
    mask = start(model)
    found = as_arrays(prune(model, mask, rate=rate, group=3))
    kept = {(name, index) for name in found for index in zip(*found[name].nonzero(), strict=True)}
    expected = slowly(model, mask, len(kept), 3)
    assert {(name, tuple(map(int, index))) for name, index in kept} == expected


def test_the_sparse_kernels_of_a_gpu_take_the_weights():
    layer = nn.Sequential(nn.Linear(64, 32, bias=False))
    mask = prune(layer, dense(layer, "head"), rate=0.5)
    weights = (layer[0].weight.detach() * mask["0.weight"]).half()
    packed = sparse_semi_structured_from_dense_cutlass(weights)
    assert packed[0].shape == (32, 32)
    assert torch.equal(sparse_semi_structured_to_dense_cutlass(*packed), weights)


def test_two_of_four_of_a_whole_network():
    model = ModelSpec("resnet_mini", 10, 1).build(0)
    mask = prune(model, dense(model), rate=0.5)
    assert mask.kept == mask.total - round(mask.total * 0.5)
    shares = [kept.mean() for kept in as_arrays(mask).values() if kept.shape[1] % 4 == 0]
    assert all(0.45 < share <= 0.5 for share in shares)
