"""SynFlow against the same steps with paths enumerated one by one; and no layer collapses."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from mu.data.images import Images, Subset
from mu.masks import Mask
from mu.pruning.synflow import SynFlow, exponential
from mu.runs import Run
from tests.helpers import as_arrays, laws, mostly_slow, same_masks
from tests.pruning.networks import CONVOLUTIONAL, DATA, TRANSFORMERS, build, colour_images, dense
from tests.pruning.test_linearised import every_path, perceptron


def images(features):
    """Data of which only the shape counts: one row of so many pixels."""
    pixels = torch.zeros(2, 1, 1, features, dtype=torch.uint8)
    return Subset(Images(pixels, torch.zeros(2, dtype=torch.long)), np.arange(2), (0.5,), (0.5,))


def slowly(model, mask, keep, iterations, features):
    """The paths of all weights enumerated, the smallest sums dropped, and that again.

    None where the last to go and the first to stay are equal: the only edges into and out of a
    unit carry the same paths, and rounding decides between them.
    """
    start = mask.kept
    for step in range(1, iterations + 1):
        count = round(start * (keep / start) ** (step / iterations))
        sums, _ = every_path(model, torch.ones(features), mask)
        kept = as_arrays(mask)
        order = sorted(
            (float(sums[name].reshape(-1)[place]), name, int(place))
            for name in kept
            for place in np.flatnonzero(kept[name])
        )
        gone = len(order) - count
        if 0 < gone < len(order) and order[gone][0] <= order[gone - 1][0] * (1 + 1e-9):
            return None
        for _, name, place in order[:gone]:
            kept[name].reshape(-1)[place] = False
        mask = Mask({name: torch.from_numpy(array) for name, array in kept.items()})
    return mask


@laws(60)
@given(
    widths=st.lists(st.integers(2, 4), min_size=3, max_size=4),
    seed=st.integers(0, 99),
    iterations=st.integers(1, 6),
    share=st.floats(0.1, 1),
)
def test_each_iteration_drops_the_weights_with_the_smallest_sums_of_paths(
    widths, seed, iterations, share
):
    model = perceptron(widths, seed)
    mask = dense(model, "head")
    keep = round(share * mask.kept)
    run = Run(device="cpu")
    expected = slowly(model, mask, keep, iterations, widths[0])
    assume(expected is not None)

    found = SynFlow(iterations=iterations).prune(model, mask, images(widths[0]), run, keep=keep)

    assert same_masks(found, expected)


@laws(100)
@given(start=st.integers(1, 10**8), share=st.floats(0, 1), steps=st.integers(1, 200))
def test_counts_fall_by_the_same_share_each_time(start, share, steps):
    end = int(share * start)

    counts = list(exponential(start, end, steps))

    assert len(counts) == steps
    assert counts[-1] == end
    assert [start, *counts] == sorted([start, *counts], reverse=True)
    for before, after in zip([start, *counts], counts, strict=False):
        assert after == pytest.approx(before * (end / start) ** (1 / steps), abs=1.1)


def test_the_default_is_a_hundred_iterations():
    assert SynFlow().iterations == 100


def test_data_and_running_means_do_not_matter():
    model = nn.Sequential(nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 3))
    mask = dense(model, "head")
    pixels = torch.randint(0, 255, DATA.images.pixels.shape, dtype=torch.uint8)
    other = Subset(Images(pixels, DATA.images.labels), DATA.indices, (0.9,), (0.1,))
    run = Run(device="cpu")

    first = SynFlow().prune(model, mask, DATA, run)
    model[1].running_mean.fill_(3.0)
    second = SynFlow().prune(model, mask, other, run)

    assert same_masks(first, second)


@pytest.mark.parametrize(
    "arch",
    mostly_slow(CONVOLUTIONAL + TRANSFORMERS, "resnet20", "vit_tiny"),
)
def test_no_layer_collapses_at_99_percent(arch):
    """With 8 iterations instead of 100, which is harder: what is dropped never comes back."""
    model = build(arch)
    run = Run(device="cpu")
    pruner = SynFlow(rate=0.99, iterations=8, on_collapse="refuse")

    mask = pruner.prune(model, dense(model), colour_images(), run)

    assert mask.kept == mask.total - round(0.99 * mask.total)
    # Not a last weight here and there, but what passes a signal on.
    assert min(layer["kept"] for layer in mask.layers()) > 25
    assert run.notes == []
