"""Selecting the best-scored weights, against a slow sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mu.masks import Mask
from mu.pruning.scoring.ranking import keep_largest
from tests.helpers import as_arrays, laws, refused, same_masks

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.int64]


@st.composite
def problems(draw):
    """Scores with ties, what is kept already, and how many are to stay."""
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    scores, kept = {}, {}
    for name in names:
        shape = draw(st.sampled_from([(), (1,), (7,), (3, 2)]))
        scores[name] = draw(arrays.arrays(np.int64, shape, elements=st.integers(-3, 3)))
        kept[name] = draw(arrays.arrays(np.bool_, shape))
    keep = draw(st.integers(0, sum(int(flags.sum()) for flags in kept.values())))
    return scores, Mask({name: torch.as_tensor(flags) for name, flags in kept.items()}), keep


def slowly(scores, mask, keep):
    """Sort by score, then by name, then by place; drop the first ones."""
    kept = as_arrays(mask)
    order = sorted(
        (int(scores[name].reshape(-1)[place]), name, int(place))
        for name in kept
        for place in np.flatnonzero(kept[name])
    )
    for _, name, place in order[: len(order) - keep]:
        kept[name].reshape(-1)[place] = False
    return Mask({name: torch.as_tensor(flags) for name, flags in kept.items()})


@laws(100)
@given(problem=problems(), dtype=st.sampled_from(DTYPES))
def test_it_keeps_what_a_slow_sort_would(problem, dtype):
    scores, mask, keep = problem
    tensors = {name: torch.as_tensor(value).to(dtype) for name, value in scores.items()}

    found = keep_largest(tensors, mask, keep)

    assert found.kept == keep
    assert same_masks(found, slowly(scores, mask, keep))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_no_numbers_are_refused(value):
    scores = {"w": torch.tensor([1.0, value, 2.0])}

    with refused("not finite", "diverged"):
        keep_largest(scores, Mask({"w": torch.tensor([True, True, False])}), 1)


def test_scores_of_pruned_weights_do_not_matter():
    scores = {"w": torch.tensor([1.0, float("nan"), 2.0])}

    found = keep_largest(scores, Mask({"w": torch.tensor([True, False, True])}), 1)

    assert found["w"].tolist() == [False, False, True]
