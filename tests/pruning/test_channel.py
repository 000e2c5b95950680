"""Channel pruning against a slow rank of filters, one by one."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.masks import Mask
from mu.pruning.channel import Channel
from mu.runs import Run
from tests.helpers import as_arrays, laws, same_masks
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


def test_rows_of_half_precision_and_other_memory_formats_are_ranked_alike():
    model = nn.Conv2d(4, 6, 3)
    with torch.no_grad():
        model.weight.mul_(64).round_().div_(64)
    plain = prune(model, dense(model), 100)

    assert same_masks(prune(model.to(memory_format=torch.channels_last), dense(model), 100), plain)
    assert same_masks(prune(model.bfloat16(), dense(model), 100), plain)
