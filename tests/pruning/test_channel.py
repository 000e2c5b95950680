"""Channel pruning against a slow rank of filters, one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.masks import Mask
from mu.models import ModelSpec
from mu.pruning.channel import Channel
from mu.runs import Run
from tests.helpers import as_arrays, laws, prunable, random_mask, same_masks
from tests.pruning.networks import DATA, dense

STRUCTURED = True  # of the contract tests: it keeps whole filters


def prune(model, mask, keep):
    return Channel().prune(model, mask, DATA, Run(device="cpu"), keep=keep)


def slowly(model, mask, keep):
    """Rank the filters in plain numbers; drop them until one more would lead away from keep."""
    kept = as_arrays(mask)
    filters = []
    for name, flags in kept.items():
        weights = model.get_parameter(name).detach().numpy()
        rows = range(len(flags)) if flags.ndim else [...]
        there = [row for row in rows if flags[row].any()]
        norms = {row: float(np.abs(weights[row][flags[row]]).sum()) for row in there}
        mean = sum(norms.values()) / max(len(norms), 1)
        strongest = max(there, key=lambda row: norms[row], default=None)
        for row in there:
            strength = norms[row] / mean if mean else 0.0
            filters.append((row == strongest, strength, len(filters), name, row))
    count = mask.kept
    for *_, name, row in sorted(filters):
        size = int(kept[name][row].sum())
        if abs(count - size - keep) >= abs(count - keep):
            break
        kept[name][row] = False
        count -= size
    return Mask({name: torch.as_tensor(flags) for name, flags in kept.items()})


@st.composite
def problems(draw):
    """Layers of few distinct magnitudes, so that there are ties, a mask, and what to keep."""
    names = draw(st.permutations("abcd"))
    shapes = draw(
        st.lists(st.sampled_from([(3,), (4, 2), (5, 1, 3), (1, 6), ()]), min_size=1, max_size=4)
    )
    weights, kept = {}, {}
    for name, shape in zip(names, shapes, strict=False):
        count = int(np.prod(shape))
        values = draw(st.lists(st.integers(-4, 4), min_size=count, max_size=count))
        weights[name] = torch.tensor(values, dtype=torch.float32).reshape(shape) / 4
        flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        kept[name] = torch.tensor(flags, dtype=torch.bool).reshape(shape)
    mask = Mask(kept)
    return (
        nn.ParameterDict({n: nn.Parameter(w) for n, w in weights.items()}),
        mask,
        draw(st.integers(0, mask.kept)),
    )


@laws(200)
@given(problem=problems())
def test_it_drops_the_filters_that_a_slow_rank_would(problem):
    model, mask, keep = problem

    assert same_masks(prune(model, mask, keep), slowly(model, mask, keep))


def whole_rows(found, mask):
    """Whether each filter of ``found`` is as it was or empty."""
    for name in mask:
        new, old = (one[name].reshape(len(one[name]), -1) for one in (found, mask))
        if not bool(((new == old).all(1) | ~new.any(1)).all()):
            return False
    return True


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("kept", [1.0, 0.4])
def test_whole_filters_go_to_within_one_and_each_layers_strongest_stays(rate, kept):
    model = ModelSpec("resnet_mini", 10, 1).build(0)
    mask = random_mask(model, prunable(model), kept=kept)
    keep = mask.kept - round(rate * mask.kept)

    found = prune(model, mask, keep)

    assert whole_rows(found, mask)
    largest = max(int(mask[name].flatten(1).sum(1).max()) for name in mask)
    assert abs(found.kept - keep) <= largest / 2 + 1
    for name in mask:
        norms = (model.get_parameter(name).detach() * mask[name]).abs().flatten(1).sum(1)
        assert found[name][norms.argmax()].any()


def test_within_a_layer_the_smallest_norms_go_first():
    model = nn.Conv2d(2, 4, 1, bias=False)
    with torch.no_grad():
        model.weight.view(4, 2).copy_(torch.tensor([[3, -3], [1, -1], [-4, 1], [0, 4]]))

    found = prune(model, dense(model), 4)

    assert found["weight"].view(4, 2).tolist() == [[True] * 2, [False] * 2, [True] * 2, [False] * 2]


def test_the_size_of_a_layers_weights_does_not_count():
    def pruned(scale):
        model = nn.ModuleDict({"a": nn.Linear(3, 8), "b": nn.Linear(3, 8), "c": nn.Linear(2, 2)})
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator))
            model["b"].weight.mul_(scale)
        return prune(model, dense(model), 24)

    assert same_masks(pruned(1.0), pruned(1024.0))


def test_a_layer_is_emptied_only_where_nothing_else_is_left():
    model = nn.ParameterDict({"a": torch.tensor([[1.0], [2.0]]), "b": torch.tensor([[1.0], [9.0]])})
    mask = Mask.dense(model, ["a", "b"])

    found = [prune(model, mask, keep) for keep in (3, 2, 1, 0)]

    kept = [[one[name].view(-1).tolist() for name in "ab"] for one in found]
    assert kept == [
        [[True, True], [False, True]],
        [[False, True], [False, True]],
        [[False, False], [False, True]],
        [[False, False], [False, False]],
    ]


def test_the_mean_is_that_of_the_filters_that_remain():
    values = {"a": [[0.0], [0.0], [4.0], [6.0]], "b": [[6.0], [14.0]]}
    model = nn.ParameterDict({name: torch.tensor(rows) for name, rows in values.items()})
    flags = {"a": torch.tensor([[False], [False], [True], [True]]), "b": torch.ones(2, 1) > 0}

    # Of a, 4 beside a mean of 5; of b, 6 beside 10. Over four filters, a's mean would be 2.5.
    found = prune(model, Mask(flags), 3)
    assert (found["a"].sum(), found["b"].sum()) == (2, 1)
    values["a"][2:] = [[2.0], [8.0]]  # now 2 beside 5; over four filters, 2 beside 2.5
    model = nn.ParameterDict({name: torch.tensor(rows) for name, rows in values.items()})
    found = prune(model, Mask(flags), 3)
    assert (found["a"].sum(), found["b"].sum()) == (1, 2)


def test_a_layer_of_zeros_keeps_one_of_the_filters_that_remain():
    model = nn.ParameterDict({"a": torch.zeros(3, 1), "b": torch.ones(3, 1)})
    flags = {"a": torch.tensor([[False], [True], [True]]), "b": torch.ones(3, 1) > 0}

    found = prune(model, Mask(flags), 2)

    assert (found["a"].sum(), found["b"].sum()) == (1, 1)


def test_rows_of_half_precision_and_other_memory_formats_are_ranked_alike():
    model = nn.Conv2d(4, 6, 3)
    with torch.no_grad():
        model.weight.mul_(64).round_().div_(64)
    plain = prune(model, dense(model), 100)

    assert same_masks(prune(model.to(memory_format=torch.channels_last), dense(model), 100), plain)
    assert same_masks(prune(model.bfloat16(), dense(model), 100), plain)
