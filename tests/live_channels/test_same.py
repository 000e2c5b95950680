"""Passes over live channels train and ask a masked network as all channels do."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mu.evaluation.outputs
import mu.live_channels
from mu.evaluation.outputs import predict
from mu.live_channels import live_channels
from mu.live_channels.channels import Channels, Places
from mu.live_channels.layers import LiveConv2d
from mu.masks import Mask
from mu.models import ARCHITECTURES
from mu.pruning.scoring.ranking import without_weakest_filters
from mu.runs import Run
from mu.training.loop import train
from mu.training.recipe import Training
from tests.compact.networks import built, everything, images, kill
from tests.helpers import make_dataset, mostly_slow, prunable

SIDES = dict.fromkeys(ARCHITECTURES, 8) | {"resnet50": 16, "vgg16_bn": 16, "swin_t": 32}
GROUPED = "mobilenet_v3_small"
CASES = [*product([one for one in ARCHITECTURES if one != GROUPED], (0.6, 0.95))]
QUICK = [("resnet_mini", 0.6), ("resnet_mini", 0.95), ("fastnet", 0.95)]


def eight() -> Tensor:
    return images(2, side=8)


def pruned(model: nn.Module, rate: float) -> Mask:
    dense = Mask.dense(model, prunable(model))
    mask = without_weakest_filters(model, dense, round(dense.kept * (1 - rate)))
    mask.apply(model)
    return mask


def trained(model: nn.Module, mask: Mask, batch: Tensor, live: bool, steps: int = 3) -> nn.Module:
    """A copy after some steps of a mask's training, all numbers in float64."""
    model = copy.deepcopy(model).double().train()
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    bound, labels = mask.bind(model), torch.arange(len(batch)) % 4
    for _ in range(steps):
        if live:
            with live_channels(model, batch.double, mask) as is_used:
                assert is_used
                loss = F.cross_entropy(model(batch.double()), labels)
        else:
            loss = F.cross_entropy(model(batch.double()), labels)
        optimizer.zero_grad()
        loss.backward()
        bound.mask_gradients()
        optimizer.step()
        bound.apply()
    return model


def smooth(model: nn.Module) -> nn.Module:
    """fastnet divides by deviations near 1e-6, which makes rounding a difference to see."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = max(module.eps, 1e-5)
    return model


def assert_equal_states(one: nn.Module, other: nn.Module) -> None:
    wanted = other.state_dict()
    assert [*one.state_dict()] == [*wanted]
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize(("arch", "rate"), mostly_slow(CASES, *QUICK))
def test_training_moves_weights_and_statistics_alike(arch, rate):
    model = smooth(built(arch, SIDES[arch]))
    mask = pruned(model, rate)
    batch = images(6, side=SIDES[arch])
    steps = 1 if arch == "fastnet" else 3  # its maxima over equal numbers are anyone's
    ours, theirs = (trained(model, mask, batch, live, steps) for live in (True, False))
    assert_equal_states(ours, theirs)
    with torch.no_grad(), live_channels(ours.eval(), batch.double) as is_used:
        assert is_used
        torch.testing.assert_close(ours(batch.double()), theirs.eval()(batch.double()))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_layers_and_functions_there_are(seed):
    model = everything(seed, 0.3)
    model.each, model.groups = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
    kill(model.each, [seed, 7])
    mask = Mask.dense(model, prunable(model)).nonzero(model)
    ours, theirs = (trained(model, mask, images(6), live) for live in (True, False))
    assert_equal_states(ours, theirs)


@pytest.mark.parametrize("arch", ["resnet_mini", "fastnet"])
def test_layers_compute_live_channels_alone(arch, monkeypatch):
    model = built(arch, 8)
    mask = pruned(model, 0.95)
    seen, convolve = [], F.conv2d

    def counting(signal, weight, *args, **kwargs):
        if signal.shape[0] > 1:
            seen.append(tuple(weight.shape[:2]))
        return convolve(signal, weight, *args, **kwargs)

    monkeypatch.setattr(F, "conv2d", counting)
    with torch.no_grad(), live_channels(model, eight, mask):
        seen.clear()
        model(images(4, side=8))
    whole = sum(one.shape[0] * one.shape[1] for one in mask.values() if one.ndim == 4)
    assert sum(out * taken for out, taken in seen) < whole / 4


@pytest.mark.parametrize(("arch", "rate"), [("resnet_mini", 0.0), (GROUPED, 0.9)])
def test_networks_that_would_not_gain_stay_as_they_are(arch, rate):
    model = built(arch, 8)
    mask, before = pruned(model, rate), [*map(type, model.modules())]
    with live_channels(model, eight, mask) as is_used:
        assert not is_used
        assert [*map(type, model.modules())] == before


def test_afterwards_layers_are_what_they_were():
    model = built("resnet_mini", 8)
    mask, before = pruned(model, 0.9), {one: type(one) for one in model.modules()}
    with live_channels(model, eight, mask):
        assert type(model.conv1) is not nn.Conv2d
    assert {one: type(one) for one in model.modules()} == before
    assert not [one for one in model.modules() if "places" in vars(one)]


def test_a_class_without_weights_has_logits_like_the_others():
    model = built("resnet_mini", 8)
    pruned(model, 0.9)
    kill([one for one in model.modules() if isinstance(one, nn.Linear)][-1], [1])
    with live_channels(model, eight) as is_used:
        assert is_used
        assert isinstance(model(eight()), Tensor)
    assert not model._forward_hooks


def test_a_prediction_that_fails_leaves_the_layers_as_they_were(monkeypatch):
    dataset = make_dataset(train=300, test=4, classes=4, size=8, channels=3)
    model = built("resnet_mini", 8)
    pruned(model, 0.9)
    kinds = [*map(type, model.modules())]
    monkeypatch.setattr(mu.evaluation.outputs, "_reduced", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as kept:  # its traceback holds what had begun
        predict(model, dataset.training_subset(np.arange(300)), Run(device="cpu"), most_logits=0)
    assert kept
    assert [*map(type, model.modules())] == kinds


def test_to_what_does_not_know_them_channels_are_a_tensor():
    alive = torch.tensor([True, False, True])
    constant = torch.tensor([7.0]).view(1, 1, 1, 1)
    mixed = Channels(images(2, channels=2), constant, Places(alive))
    whole = mixed.dense()
    assert whole.shape == (2, 3, 6, 6)
    assert torch.equal(whole[:, 1], torch.full((2, 6, 6), 7.0))
    assert mixed.shape == whole.shape
    assert torch.equal(mixed * whole, whole * whole)
    assert torch.equal(whole + mixed, whole + whole)
    assert torch.equal(torch.cat([mixed, mixed], 1), torch.cat([whole, whole], 1))
    assert torch.equal(-mixed / 2 - 1, -whole / 2 - 1)
    assert torch.equal(mixed[:, 1:].mean((2, 3)), whole[:, 1:].mean((2, 3)))


@pytest.mark.parametrize(("precision", "sam"), [("fp32", 0.0), ("fp32", 0.05), ("bf16", 0.0)])
def test_training_and_predicting_go_over_live_channels(precision, sam, monkeypatch):
    dataset = make_dataset(train=300, test=4, classes=4, size=8, channels=3)
    data, run = dataset.training_subset(np.arange(300)), Run(device="cpu", precision=precision)
    plan = Training(
        epochs=2, lr=0.05, batch_size=64, schedule="constant", augment="none", sam_rho=sam
    )
    model = built("resnet_mini", 8)
    mask = pruned(model, 0.9)
    passes: list[bool] = []
    forward = LiveConv2d.forward
    monkeypatch.setattr(
        LiveConv2d, "forward", lambda *given: passes.append(given[0].training) or forward(*given)
    )
    found = []
    for least in (0.4, 2.0):
        monkeypatch.setattr(mu.live_channels, "LEAST", least)
        passes.clear()
        one = copy.deepcopy(model)
        train(one, data, plan, run, mask=mask)
        assert any(passes) == (least < 1)
        passes.clear()
        found.append(predict(one, data, run).logits)
        assert (len(passes) > 0) == (least < 1)
    room = 1e-4 if precision == "fp32" else 0.1
    torch.testing.assert_close(*found, rtol=room, atol=room)
