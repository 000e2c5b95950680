"""GraSP against the whole Hessian, every entry of it worked out."""

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
