"""Gradients by sample, against one image after the other."""

import copy

import pytest
import torch
from torch import nn

from mu.fisher import layers
from mu.fisher.per_sample import evaluating, score
from mu.models import ModelSpec
from tests.fisher import slow
from tests.fisher.networks import (
    BY_LAYERS,
    BY_VMAP,
    CHANNELS,
    CLASSES,
    SIZE,
    Net,
    Positions,
    Tokens,
    Unused,
    convolutions,
    settled,
)

EXACT = 1e-10


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(network):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return settled(network())


def by_hand(model, images, weights):
    """For each parameter, (n_samples, its numbers)."""
    rows = [
        [one.flatten() for one in slow.gradient(model, (model(image[None].clone())[0] * own).sum())]
        for image, own in zip(images, weights, strict=True)
    ]
    return [torch.stack(column) for column in zip(*rows, strict=True)]


def gathered(model, batch, weights):
    """The pieces put together, and how often each number was given."""
    count = len(batch.logits)
    found = {one: one.new_zeros(count, one.numel()) for one in model.parameters()}
    given = {one: torch.zeros(one.numel()) for one in model.parameters()}
    for parameter, start, values in batch.gradients(weights):
        place = slice(start, start + values.shape[1])
        found[parameter][:, place] = values
        given[parameter][place] += 1
    return list(found.values()), torch.cat(list(given.values()))


def check(model, images, kind, classes=CLASSES):
    weights = draw(len(images), classes, seed=2)
    with evaluating(model) as look:
        batch = look.batch(images)
        assert not any(one.requires_grad for one in model.parameters())
        assert type(batch).__name__ == kind
        found, given = gathered(model, batch, weights)
    assert given.max() <= 1
    expected = by_hand(model, images, weights)
    for (name, _), one, right in zip(model.named_parameters(), found, expected, strict=True):
        assert (one - right).norm() <= EXACT * right.norm(), name
    with torch.no_grad():
        assert torch.allclose(batch.logits, model(images.clone()), rtol=1e-12)


@pytest.mark.parametrize("network", BY_LAYERS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_known_layers(network, count):
    check(make(network), draw(count, CHANNELS, SIZE, SIZE), "_ByLayers")


@pytest.mark.parametrize("network", BY_VMAP)
@pytest.mark.parametrize("count", [2, 5])
def test_networks_of_other_parts(network, count):
    check(make(network), draw(count, CHANNELS, SIZE, SIZE), "_ByVmap")


@pytest.mark.parametrize(
    ("arch", "size", "kind"),
    [
        ("resnet14", 8, "_ByLayers"),
        ("mobilenet_v3_small", 16, "_ByLayers"),
        pytest.param("vgg16_bn", 16, "_ByLayers", marks=pytest.mark.slow),
        ("vit_tiny", 8, "_ByVmap"),
        pytest.param("swin_t", 16, "_ByVmap", marks=pytest.mark.slow),
    ],
)
def test_architectures(arch, size, kind):
    model = settled(ModelSpec(arch, 4, 3, "cifar", size).build(0))
    model.to(memory_format=torch.channels_last)
    check(model, draw(2, 3, size, size), kind, classes=4)


@pytest.mark.parametrize("network", [convolutions, Tokens, Positions])
def test_a_batch_can_be_differentiated_again_with_other_weights(network):
    model, images, weights = make(network), draw(3, CHANNELS, SIZE, SIZE), draw(3, CLASSES)
    with evaluating(model) as look:
        batch = look.batch(images)
        first, second, third = (
            gathered(model, batch, factor * weights)[0] for factor in (1.0, -3.0, 1.0)
        )
    for one, other, again in zip(first, second, third, strict=True):
        assert torch.equal(one, again)
        assert torch.allclose(-3 * one, other, rtol=EXACT)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "geometry",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": (1, 3), "stride": (1, 2), "padding": (0, 2)},
        {"kernel_size": 2, "dilation": 2, "padding": 1, "bias": False},
    ],
)
def test_small_convolutions_in_single_precision(geometry, count):
    """These have a way of their own, which whole vectors of channels allow."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = nn.Conv2d(16, 32, **geometry), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        model = nn.Sequential(*parts, nn.Linear(128, CLASSES))
    model.to(memory_format=torch.channels_last)
    images = draw(count, 16, 7, 8).float()
    assert layers._is_small(model[0], count)
    assert not layers._is_small(copy.deepcopy(model[0]).double(), count)
    weights = draw(count, CLASSES, seed=2).float()
    with evaluating(model) as look:
        batch = look.batch(images)
        assert type(batch).__name__ == "_ByLayers"
        found, given = gathered(model, batch, weights)
    assert given.min() == given.max() == 1
    for one, right in zip(found, by_hand(model, images, weights), strict=True):
        assert (one - right).norm() <= 1e-5 * right.norm()


@pytest.mark.parametrize("network", [convolutions, Tokens])
def test_small_pieces_cover_each_number_once(network, monkeypatch):
    monkeypatch.setattr(layers, "PIECE", 30)
    model, images = make(network), draw(3, CHANNELS, SIZE, SIZE)
    check(model, images, "_ByLayers")
    with evaluating(model) as look:
        batch = look.batch(images)
        pieces = list(batch.gradients(draw(3, CLASSES)))
        assert len(pieces) > len(list(model.parameters()))
        assert gathered(model, batch, draw(3, CLASSES))[1].min() == 1


def test_a_layer_that_leads_nowhere_gives_no_pieces():
    model = make(Unused)
    with evaluating(model) as look:
        batch = look.batch(draw(2, CHANNELS, SIZE, SIZE))
        given = {id(piece.parameter) for piece in batch.gradients(draw(2, CLASSES))}
    assert given == {id(one) for part in (model.inner, model.head) for one in part.parameters()}


# --- the network is left as it was --------------------------------------------------------


class Failing(Net):
    """It fails in its ``last`` forward pass."""

    def __init__(self, last):
        super().__init__()
        self.left = last

    def forward(self, images):
        self.left -= 1
        if not self.left:
            raise ArithmeticError
        return super().forward(images)


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_modes_and_flags_are_put_back(last):
    model = Failing(last).double().train()
    model.head.eval()
    model.inner.bias.requires_grad_(False)
    model.inner.weight.grad = torch.ones_like(model.inner.weight)
    images = draw(2, CHANNELS, SIZE, SIZE)
    try:
        with evaluating(model) as look:
            assert not any(module.training for module in model.modules())
            list(look.batch(images).gradients(draw(2, CLASSES)))
    except ArithmeticError:
        assert last
    assert (model.training, model.inner.training, model.head.training) == (True, True, False)
    asked = {name for name, one in model.named_parameters() if one.requires_grad}
    assert asked == {"inner.weight", "head.weight", "head.bias"}
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(model.inner.weight.grad, torch.ones_like(model.inner.weight))


def test_dropout_and_batch_statistics_play_no_part():
    model = nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.Flatten(), nn.Dropout(), nn.Linear(72, 3))
    model = model.double().train()
    images, before = draw(3, CHANNELS, SIZE, SIZE), model[0].running_mean.clone()
    with evaluating(model) as look:
        found, _ = gathered(model, look.batch(images), draw(3, 3))
    for one, right in zip(found, by_hand(model.eval(), images, draw(3, 3)), strict=True):
        assert torch.allclose(one, right)
    assert torch.equal(model[0].running_mean, before)


# --- the gradient by the logits -----------------------------------------------------------


def test_the_score_is_the_gradient_of_the_log_likelihood():
    logits = draw(5, 4).requires_grad_(True)
    labels = torch.tensor([0, 3, 1, 1, 2])
    value = logits.log_softmax(1)[torch.arange(5), labels].sum()
    (expected,) = torch.autograd.grad(value, logits)
    assert torch.allclose(score(logits.detach(), labels), expected, rtol=EXACT)


@pytest.mark.parametrize("gap", [10.0, 20.0, 40.0, 80.0])
def test_the_score_of_a_sure_network_keeps_its_digits_in_single_precision(gap):
    logits = torch.tensor([[gap, 0.0, 1.0]])
    found = score(logits, torch.tensor([0])).double()
    others = logits.double().softmax(1)[0, 1:]
    expected = torch.cat([others.sum()[None], -others])
    assert torch.allclose(found[0], expected, rtol=1e-5, atol=0)
