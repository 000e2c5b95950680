"""Blocks: what they are in networks that are known, and what a pass that finds them leaves."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mu.models import ModelSpec
from mu.models.blocks import last_blocks
from tests.methods.networks import HEADLESS, LINEAR, TIED, TRANSFORMER

MLP = "encoder.layers.encoder_layer_11"
KNOWN = {
    ("resnet14", 0): "fc",
    ("resnet14", 1): "layer3.1, fc",
    ("resnet14", 3): "layer2.1, layer3, fc",
    ("resnet14", 7): "the whole network",  # the stem was the last
    ("vgg16_bn", 1): "features.40, features.41, classifier",
    ("vit_tiny", 1): f"{MLP}.ln_2, {MLP}.mlp, encoder.ln, heads",
    ("vit_tiny", 2): f"{MLP}, encoder.ln, heads",
    (TRANSFORMER, 1): "block, head",
    (TRANSFORMER, 2): "norm, qkv, block, head",
    (TIED, 1): "left, right.bias, top",  # one weight under two names
    (TIED, 2): "left, right.bias, top",  # a block that is used twice is used below, too
    (LINEAR, 0): "the whole network",
    (HEADLESS, 0): "the whole network",
}


def built(arch):
    spec = ModelSpec(arch, 3, 1, image_size=16)
    return spec.build(0), spec.example()


@pytest.mark.parametrize(("arch", "k"), KNOWN)
def test_they_are_those_that_a_reader_of_the_network_would_name(arch, k):
    model, images = built(arch)
    assert last_blocks(model, images, k + 1).words(model) == KNOWN[arch, k]


def test_the_pass_that_finds_them_leaves_the_network_and_the_generator_as_they_were():
    model, images = built("resnet14")
    model.train()
    model.layer2.eval()
    before, state = copy.deepcopy(model), torch.get_rng_state()
    last_blocks(model, images, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert [one.training for one in model.modules()] == [one.training for one in before.modules()]
    assert all(one.grad is None and one.requires_grad for one in model.parameters())
    assert not any(one._forward_pre_hooks for one in model.modules())
    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


class Mixed(nn.Module):
    """Layers without weights, between blocks and inside one, and a layer that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.before, self.inside = nn.Dropout(), nn.BatchNorm1d(4, affine=False)
        self.unused, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        signal = self.before(self.one(images.flatten(1)).relu())
        return self.head(self.inside(self.two(signal)))


def test_modules_without_weights_belong_to_where_they_are_called():
    part = last_blocks(Mixed(), torch.randn(2, 1, 2, 2), 2)
    assert part.parameters == ("two.weight", "two.bias", "head.weight", "head.bias")
    assert part.modules == ("two", "before", "inside", "head")  # dropout drops what was computed


def test_a_network_whose_logits_have_no_gradient_is_one_block():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))

        def forward(self, images: Tensor) -> Tensor:
            return (images > 0).float().flatten(1)

    model = Constant()
    assert last_blocks(model, torch.randn(2, 1, 2, 2), 1).words(model) == "the whole network"
