"""SNIP against finite differences of the loss by a factor in front of each weight."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mu.pruning.scoring.probe import Probe
from mu.pruning.snip import SNIP, sensitivities
from mu.runs import Run
from tests.pruning.networks import (
    DATA,
    all_images,
    context,
    dense,
    exact,
    half,
    smooth_net,
    vision_transformer,
)

STEP = 1e-5
DRAWS = True  # of the contract tests


def scores(model, mask):
    return sensitivities(Probe(model, mask, context(), len(DATA)), mask)


@torch.no_grad()
def slowly(model, mask):
    """How the loss changes with a factor in front of each weight, one weight at a time."""
    twin = exact(model, mask)
    images, labels = all_images()
    found = {}
    for name in mask:
        values = twin.get_parameter(name).data.view(-1)
        slopes = torch.zeros_like(values)
        for place, weight in enumerate(values.tolist()):
            losses = []
            for factor in (1 - STEP, 1 + STEP):
                values[place] = factor * weight
                losses.append(F.cross_entropy(twin(images), labels))
            values[place] = weight
            slopes[place] = (losses[1] - losses[0]) / (2 * STEP)
        found[name] = slopes.abs().view_as(mask[name])
    return found


@pytest.mark.parametrize("make", [smooth_net, vision_transformer])
@pytest.mark.parametrize("start", [dense, half])
def test_scores_are_the_derivatives_by_a_factor(make, start):
    model = make()
    mask = start(model)

    found, expected = scores(model, mask), slowly(model, mask)

    for name in mask:
        torch.testing.assert_close(found[name].double(), expected[name], rtol=2e-3, atol=2e-7)
        assert not found[name][~mask[name]].any()


def test_the_weights_with_the_largest_scores_are_kept():
    model = smooth_net()
    mask = dense(model)
    expected = slowly(model, mask)
    order = np.sort(np.concatenate([expected[name].numpy().reshape(-1) for name in mask]))
    keep = 10
    limit = (order[-keep] + order[-keep - 1]) / 2

    found = SNIP(samples=len(DATA)).prune(model, mask, DATA, Run(device="cpu"), keep=keep)

    assert all(torch.equal(found[name], expected[name] > limit) for name in mask)


def test_a_head_of_zeros_is_noted():
    model = smooth_net()
    nn.init.zeros_(model[-1].weight)
    run = Run(device="cpu")

    SNIP().prune(model, dense(model), DATA, run, keep=10)

    assert "every score of snip is zero" in run.notes[0]
    run = Run(device="cpu")
    SNIP().prune(smooth_net(), dense(smooth_net()), DATA, run, keep=18)
    assert not any("every score" in note for note in run.notes)
