"""GraSP against the whole Hessian, and against what removing weights does to the gradient."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from mu.pruning.grasp import TEMPERATURE, GraSP, losses_of_flow
from mu.pruning.scoring import probe as probes
from mu.pruning.scoring.probe import Probe
from mu.runs import Run
from tests.helpers import mostly_slow
from tests.pruning.networks import (
    DATA,
    all_images,
    build,
    colour_images,
    context,
    dense,
    exact,
    half,
    smooth_net,
    vision_transformer,
)

DRAWS = True  # of the contract tests


def scores(model, mask, data=DATA):
    return losses_of_flow(Probe(model, mask, context(data), len(data), TEMPERATURE), mask)


def loss_of(twin):
    """The loss of a network as a function of all its parameters in one vector."""
    images, labels = all_images()
    names, values = zip(*twin.named_parameters(), strict=True)

    def loss(vector):
        parts = vector.split([value.numel() for value in values])
        parameters = {n: p.view_as(v) for n, p, v in zip(names, parts, values, strict=True)}
        return F.cross_entropy(functional_call(twin, parameters, (images,)) / 200, labels)

    vector = torch.cat([value.detach().reshape(-1) for value in values])
    places = torch.arange(len(vector)).split([value.numel() for value in values])
    return loss, vector, dict(zip(names, places, strict=True))


def slowly(model, mask):
    """``weight * (Hessian gradient)`` with every entry of the Hessian worked out."""
    loss, vector, places = loss_of(exact(model, mask))
    with sdpa_kernel(SDPBackend.MATH):
        gradient = torch.autograd.functional.jacobian(loss, vector)
        hessian = torch.autograd.functional.hessian(loss, vector)
    for name in mask:
        gradient[places[name][~mask[name].view(-1)]] = 0
    products = vector * (hessian @ gradient)
    return {name: products[places[name]].view_as(mask[name]) for name in mask}


@pytest.mark.parametrize("make", [smooth_net, vision_transformer])
@pytest.mark.parametrize("start", [dense, half])
def test_scores_are_those_of_the_whole_hessian(make, start):
    model = make()
    mask = start(model)

    found, expected = scores(model, mask), slowly(model, mask)

    for name in mask:
        size = float(expected[name].abs().max())
        torch.testing.assert_close(
            found[name].double(), expected[name], rtol=5e-3, atol=1e-4 * size
        )
        assert not found[name][~mask[name]].any()


@pytest.mark.parametrize("size", [4, 7])
def test_batches_add_up_to_the_whole(monkeypatch, size):
    """The gradient of all batches meets the Hessian of each."""
    model = smooth_net()
    model[1] = nn.Identity()
    mask = dense(model)
    expected = slowly(model, mask)
    monkeypatch.setattr(probes, "BATCH_SIZE", size)

    found = scores(model, mask)

    for name in mask:
        atol = 1e-4 * float(expected[name].abs().max())
        torch.testing.assert_close(found[name].double(), expected[name], rtol=5e-3, atol=atol)


def squared_norm(loss, vector):
    """Half the squared norm of the gradient."""
    return float(torch.autograd.functional.jacobian(loss, vector).square().sum()) / 2


def test_scores_are_what_half_the_squared_gradient_loses_as_a_weight_shrinks():
    """By finite differences in float64: the sign is the right one."""
    model = smooth_net()
    mask = dense(model)
    loss, vector, places = loss_of(exact(model, mask))
    found = scores(model, mask)
    step = 1e-5

    for name in mask:
        slopes = []
        for place in places[name]:
            moved = vector.clone()
            norms = []
            for factor in (1 - step, 1 + step):
                moved[place] = factor * vector[place]
                norms.append(squared_norm(loss, moved))
            slopes.append((norms[1] - norms[0]) / (2 * step))
        expected = torch.tensor(slopes).view_as(mask[name])
        atol = 1e-3 * float(expected.abs().max())
        torch.testing.assert_close(found[name], expected, rtol=1e-2, atol=atol)


@pytest.mark.parametrize("seed", range(4))
def test_without_the_weights_that_go_first_the_gradient_is_larger_than_without_the_last(seed):
    model = smooth_net(seed)
    mask = dense(model)
    loss, vector, places = loss_of(exact(model, mask))
    keep = round(0.8 * mask.kept)
    found = GraSP(samples=len(DATA)).prune(model, mask, DATA, Run(device="cpu"), keep=keep)
    prunable = torch.cat([places[name] for name in mask])
    first = torch.cat([places[name][~found[name].view(-1)] for name in mask])
    ranks = torch.cat([scores(model, mask)[name].view(-1) for name in mask])
    last = prunable[ranks.argsort(descending=True)[: len(first)]]

    def without(removed):
        pruned = vector.clone()
        pruned[removed] = 0
        return squared_norm(loss, pruned)

    draws = np.random.default_rng(seed)
    at_random = [without(draws.permutation(prunable)[: len(first)]) for _ in range(50)]
    assert without(first) > np.median(at_random) > without(last)


def test_the_weights_that_stand_in_the_gradients_way_go_first():
    model = smooth_net()
    mask = dense(model)
    found = slowly(model, mask)
    harmful = sum(int((found[name] < 0).sum()) for name in mask)
    assert 0 < harmful < mask.kept

    kept = GraSP(samples=len(DATA)).prune(
        model, mask, DATA, Run(device="cpu"), keep=mask.kept - harmful
    )

    assert all(torch.equal(kept[name], found[name] >= 0) for name in mask)


@pytest.mark.parametrize(
    "arch", mostly_slow(["mobilenet_v3_small", "vit_tiny", "swin_t"], "vit_tiny")
)
def test_the_second_derivatives_of_real_networks_exist(arch):
    """Attention's fused kernels and torch's own hardsigmoid have none."""
    model = build(arch, 16)
    mask = dense(model)
    run = Run(device="cpu", precision="fp32")

    found = GraSP(samples=2).prune(model, mask, colour_images(16), run, keep=mask.kept // 20)

    assert found.kept == mask.kept // 20
    assert run.notes == [] or "leaves no weight" in run.notes[0]
