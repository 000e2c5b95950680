"""A network that passes over live channels would change is passed as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mu.live_channels import live_channels
from tests.compact.networks import conditional, images, kill
from tests.live_channels.test_same import assert_equal_states, pruned


class Doubled(torch.autograd.Function):
    """Of what is no tensor torch takes no gradient here."""

    @staticmethod
    def forward(ctx, signal):
        return signal * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


class Cut(nn.Module):
    """Right logits, wrong gradients."""

    def forward(self, signal: Tensor) -> Tensor:
        return Doubled.apply(signal)


class InPlace(nn.Module):
    """Changes nothing, until the scale is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, signal: Tensor) -> Tensor:
        same = signal
        same += self.scale - 1
        return signal


class Clamped(nn.Module):
    """Changes nothing of small numbers."""

    def forward(self, signal: Tensor) -> Tensor:
        signal.clamp_(-100, 100)
        return signal


class Picky(nn.Module):
    """Refuses, while it is trained, whatever is no tensor."""

    def forward(self, signal: Tensor) -> Tensor:
        if self.training and not isinstance(signal, Tensor):
            raise TypeError("no tensor")
        return signal


class Wrong(nn.Module):
    """Takes its input apart without torch knowing."""

    def forward(self, signal: Tensor) -> Tensor:
        return signal.live * 2 if hasattr(signal, "live") else signal


@pytest.mark.parametrize("kind", [Cut, InPlace, Clamped, Picky, Wrong])
def test_a_network_that_cannot_be_passed_so_is_passed_as_it_is(kind):
    layers = nn.Conv2d(3, 8, 3), kind(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.LazyLinear(4)
    model = nn.Sequential(*layers)
    model(images(1))
    mask = pruned(model, 0.8)
    before = model.state_dict()
    with live_channels(model, images, mask) as is_used:
        assert not is_used
    assert_equal_states(model, model)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


@pytest.mark.parametrize("kind", ["hooked", "compiled"])
def test_networks_of_which_there_is_no_trial_are_passed_as_they_are(kind):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(128, 4))
    kill(model[0])
    if kind == "hooked":
        model[0].register_full_backward_hook(lambda *_: None)
    else:
        model[0]._orig_mod = None  # as torch.compile leaves it, which takes seconds
    with live_channels(model, images) as is_used:
        assert not is_used


def test_another_mask_is_tried_anew():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Cut(), nn.Conv2d(8, 40, 1), nn.Conv2d(40, 4, 4))
    kill(model[2], [*range(30)])
    for gone, wanted in (([], True), ([0, 1], False)):  # then the second layer sees such channels
        kill(model[0], gone)
        with live_channels(model, images) as is_used:
            assert is_used == wanted


def test_the_trial_draws_nothing_from_the_generator_of_the_training():
    model = conditional(4, 3)
    mask = pruned(model, 0.8)
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    with live_channels(model, images, mask):
        assert torch.equal(torch.rand(2), wanted)
