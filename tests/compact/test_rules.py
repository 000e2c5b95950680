"""Each rule of compaction by a network made for it, with how many channels must be left."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mu.compact.network import compact
from tests.compact.networks import Conditional, built, images, kill, settled
from tests.compact.test_exact import assert_same
from tests.helpers import refused


def small(model, **layers):
    """The compact network, checked; ``layers``: how many outputs each has left, 0 if it is gone."""
    done = compact(model, images(2))
    assert_same(model, done.network, images(6, seed=4))
    left = {name: one for name, one in done.network.named_modules() if name in layers}
    assert {name: len(one.weight) for name, one in left.items()} == {
        name: count for name, count in layers.items() if count
    }
    return done


def chain(padding=0, activation=None, norm=True, **settings):
    torch.manual_seed(0)
    parts = {"one": nn.Conv2d(3, 8, 3, padding=1, bias=False)}
    if norm:
        parts["norm"] = nn.BatchNorm2d(8)
    parts["relu"] = activation or nn.ReLU()
    parts["two"] = nn.Conv2d(8, 6, 3, padding=padding, bias=False, **settings)
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(6, 4)}
    model = nn.Sequential()
    for name, one in parts.items():
        model.add_module(name, one)
    return settled(model)


def positive(model):
    """Shifts above zero: dead filters give constants that a ReLU lets pass."""
    model.norm.bias.data.abs_().add_(1.0)
    model.norm.running_mean.zero_()
    return model


def test_what_nothing_reads_is_removed():
    model = chain()
    model.two.weight.data[:, [1, 4]] = 0
    small(model, one=6, two=6)


def test_a_normalisation_keeps_its_epsilon():
    model = chain()
    model.norm.eps = 0.5
    model.two.weight.data[:, [1, 4]] = 0
    small(model, one=6, two=6)


def test_a_constant_goes_into_a_new_bias():
    model = positive(chain())
    kill(model.one, [0, 2, 5])
    done = small(model, one=5, two=6)
    assert model.two.bias is None
    assert bool(done.network.two.bias.any())


def test_constants_that_borders_see_differently_become_one():
    model = positive(chain(padding=1))
    kill(model.one, [0, 2, 5])
    small(model, one=6, two=6)


def test_a_constant_of_zero_is_no_matter_at_borders():
    model = chain(padding=1, norm=False)
    kill(model.one, [0, 2, 5])
    small(model, one=5, two=6)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_by_the_image_itself_keeps_constants_constant(mode):
    model = positive(chain(padding=1, padding_mode=mode))
    kill(model.one, [0, 2, 5])
    small(model, one=5, two=6)


@pytest.mark.parametrize("words", ["same", "valid"])
def test_padding_in_words(words):
    model = positive(chain(padding=words))
    kill(model.one, [0, 2, 5])
    small(model, one=6 if words == "same" else 5)


def test_constants_pass_several_layers():
    model = positive(chain())
    kill(model.one)
    # Then the logits are constant, too; a layer cannot be empty.
    assert small(model, one=1, two=1, head=4).channels == (18, 6)


def test_a_normalisation_without_scale_gives_a_constant():
    model = chain()
    model.norm.weight.data[[1, 2, 3]] = 0
    small(model, one=5, two=6)


class Residual(nn.Module):
    """Two sums in a row, without an activation between them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 8, 1, bias=False)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, signal):
        signal = self.stem(signal)
        signal = self.a(signal) + signal
        signal = signal + self.b(signal)
        return self.head(torch.relu(signal).mean((2, 3)))


def test_a_branch_holds_what_it_adds_and_no_more():
    model = Residual().eval()
    kill(model.a, [0, 1, 2])
    kill(model.b, [2, 3, 4, 5, 6])
    small(model, stem=8, a=5, b=3)


def test_a_channel_that_is_dead_for_one_writer_stays_in_the_sum():
    model = Residual().eval()
    kill(model.stem, [0, 1])
    kill(model.a, [1, 2])
    model.a.bias.data.zero_()
    kill(model.b, [1])
    model.b.bias.data.zero_()
    # Channel 1 is dead in all three: `mean` reads all of the sum, as far as the rules know.
    small(model, stem=6, a=8, b=7)


def test_a_branch_without_weights_is_gone():
    model = Residual().eval()
    kill(model.b)
    done = small(model, stem=8, a=8, b=0)
    assert bool(model.b.bias.any())  # which is added still
    assert any(name.endswith("_constant") for name, _ in done.network.named_buffers())


class Shared(nn.Module):
    """One convolution at two places."""

    def __init__(self):
        super().__init__()
        self.stem, self.twice = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 4)

    def forward(self, signal):
        signal = self.twice(torch.relu(self.twice(self.stem(signal))))
        return self.head(signal.mean((2, 3)))


def test_a_layer_that_is_used_twice_stays_whole():
    model = Shared().eval()
    kill(model.twice, [0, 1])
    assert small(model, twice=4, stem=4).removed == {}


class InPlace(nn.Module):
    """An activation changes in place what another layer reads later."""

    def __init__(self):
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.second, self.relu = nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 4)

    def forward(self, signal):
        signal = self.stem(signal)
        first = self.first(self.relu(signal))
        return self.head((first - self.second(signal)).mean((2, 3)))


def test_what_is_changed_in_place_is_what_later_layers_read():
    model = InPlace().eval()
    kill(model.stem, [0, 2])
    model.stem.bias.data[:] = -1.0
    small(model, stem=4)


def test_a_network_that_cannot_be_traced_is_refused():
    with refused("arch mine:net cannot be traced", "compact=false"):
        compact(Conditional(), images(2), "mine:net")


def test_sums_of_branches_of_other_types_under_autocast():
    model = built("resnet14", 8)
    kill(model.layer1[0].conv2, [0, 3])  # its constants, in float32, make the sum float32
    kill(model.layer1[1].conv2, [1])
    small = compact(model, images(2, side=8)).network
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        wanted, found = model(images(3, side=8)), small(images(3, side=8))
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)
