"""The head of networks of any shape: found by forward passes, or what is in its place is named."""

import copy

import pytest
import torch
from torch import nn

from mu.models import ARCHITECTURES, STEMS, ModelSpec
from mu.models.head import find_head, head_name, own_head, reset_outputs
from tests.helpers import mostly_slow, refused

IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(5))
CLASSES = 3


def named(arch, stem="cifar", size=32):
    spec = ModelSpec(arch, CLASSES, 1, stem, size)
    return spec, spec.build(0)


# --- architectures that mu names ----------------------------------------------------------

HEADS = {
    "vgg16_bn": "classifier",
    "mobilenet_v3_small": "classifier.3",
    "vit_tiny": "heads.head",
    "swin_t": "head",
    "fastnet": "head",
}
QUICK = ("resnet_mini", "resnet14", "resnet20", "mobilenet_v3_small", "vit_tiny")
CASES = [(arch, stem) for arch in ARCHITECTURES for stem in STEMS[1:]]


@pytest.mark.parametrize(("arch", "stem"), mostly_slow(CASES, *((arch, "cifar") for arch in QUICK)))
def test_the_head_of_every_architecture_is_its_last_linear_layer(arch, stem):
    spec, model = named(arch, stem)
    expected = "classifier.6" if (arch, stem) == ("vgg16_bn", "imagenet") else HEADS.get(arch, "fc")
    assert head_name(model, spec) == expected


OPEN = {"mnasnet0_5": "classifier.1", "shufflenet_v2_x0_5": "fc", "densenet121": "classifier"}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPEN)
def test_the_head_of_networks_of_torchvision(name):
    spec, model = named(f"torchvision:{name}")
    assert head_name(model, spec) == OPEN[name]


def test_the_logits_of_a_squeezenet_are_pooled_so_it_has_no_head():
    spec, model = named("torchvision:squeezenet1_1")
    assert head_name(model, spec) is None
    with refused("no head", "'classifier.3' (AdaptiveAvgPool2d)"):
        find_head(model, spec.example())


# --- odd networks -------------------------------------------------------------------------


class HeadFirst(nn.Module):
    """Defines its head first, and an inner layer of as many rows as classes last."""

    def __init__(self):
        super().__init__()
        self.top = nn.Linear(CLASSES, CLASSES)
        self.body = nn.Linear(64, CLASSES)

    def forward(self, images):
        return self.top(torch.relu(self.body(images.flatten(1))))


class Squeezed(nn.Module):
    """The head, and a squeeze-and-excitation block that is defined after it."""

    def __init__(self):
        super().__init__()
        self.conv, self.top = nn.Conv2d(1, 4, 3), nn.Linear(4, CLASSES)
        self.squeeze, self.excite = nn.Linear(4, CLASSES), nn.Linear(CLASSES, 4)

    def forward(self, images):
        signal = self.conv(images)
        scale = self.excite(torch.relu(self.squeeze(signal.mean((2, 3))))).sigmoid()
        return self.top((signal * scale[:, :, None, None]).mean((2, 3)))


class Wrapped(nn.Module):
    """Another network, and a cast or a reshaping that changes no number."""

    def __init__(self, network, after):
        super().__init__()
        self.network, self.after = network, after

    def forward(self, images):
        return self.after(self.network(images))


class Branches(nn.Module):
    """The sum of two layers, the second of which may give nothing yet."""

    def __init__(self, zero):
        super().__init__()
        self.one, self.two = nn.Linear(64, CLASSES), nn.Linear(64, CLASSES)
        if zero:
            nn.init.zeros_(self.one.weight)
            nn.init.zeros_(self.one.bias)

    def forward(self, images):
        return self.one(images.flatten(1)) + self.two(images.flatten(1))


class TwoViews(nn.Module):
    """One layer for an image and its mirror image."""

    def __init__(self):
        super().__init__()
        self.top = nn.Linear(64, CLASSES)

    def forward(self, images):
        return (self.top(images.flatten(1)) + self.top(images.flip(3).flatten(1))) / 2


class Bent(nn.Linear):
    """Is called a linear layer, and is none."""

    def forward(self, signal):
        return super().forward(signal).abs()


class Functional(nn.Module):
    """Has weights, and no module that makes use of them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, 64))

    def forward(self, images):
        return nn.functional.linear(images.flatten(1), self.weight)


class ByName(nn.Module):
    """Gives its head the signal by name, and reuses its memory."""

    def __init__(self):
        super().__init__()
        self.top = nn.Linear(64, CLASSES)

    def forward(self, images):
        return self.top(input=images.flatten(1)).clone()


def flat(*after):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES), *after)


def normed():
    model = flat()
    nn.utils.parametrizations.weight_norm(model[1])
    return model


FOUND = {
    "defined first": (HeadFirst(), "top"),
    "before an inner block": (Squeezed(), "top"),
    "in a wrapper": (Wrapped(Squeezed(), nn.Identity()), "network.top"),
    "cast": (Wrapped(HeadFirst(), torch.Tensor.double), "network.top"),
    "under dropout": (flat(nn.Dropout(0.5)), "1"),
    "by name": (ByName(), "top"),
    "a convolution of one position": (
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, CLASSES, 1), nn.Flatten()), "1",
    ),
    "a convolution of the whole image": (
        nn.Sequential(nn.Conv2d(1, CLASSES, 8), nn.Flatten()), "0",
    ),
    "without bias": (nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES, bias=False)), "1"),
    "in double precision": (HeadFirst().double(), "top"),
    "all zeros": (nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Linear(5, CLASSES)), "2"),
    "with a norm on its weights": (normed(), "1"),
}  # fmt: skip
nn.init.zeros_(FOUND["all zeros"][0][2].weight)


@pytest.mark.parametrize("case", FOUND)
def test_the_layer_that_gives_the_logits_is_found(case):
    model, expected = FOUND[case]
    before = copy.deepcopy(model.train().state_dict())

    head = find_head(model, IMAGES)

    assert head.name == expected
    assert model.get_submodule(expected) is head.module
    assert all(one.training for one in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


@pytest.mark.parametrize("case", FOUND)
def test_the_logits_are_the_heads_weights_times_what_goes_in(case):
    """By a slow, obvious way: take the head out, and do by hand what it did."""
    model, _ = FOUND[case]
    head, taken = find_head(model, IMAGES), []
    hook = head.module.register_forward_pre_hook(
        lambda _, args, named: taken.append([*args, *named.values()][0]), with_kwargs=True
    )
    images = IMAGES.to(next(model.parameters()).dtype)
    logits = model.eval()(images)
    hook.remove()
    weight, bias = head.module.weight.detach(), head.module.bias
    for row in range(CLASSES):
        by_hand = (taken[0].flatten(1) * weight[row].flatten()).sum(1)
        by_hand = by_hand if bias is None else by_hand + bias[row]
        torch.testing.assert_close(logits[:, row].to(by_hand), by_hand, rtol=1e-4, atol=1e-5)


REFUSED = {
    "a scale": (flat(nn.Softplus()), "'2' (Softplus)"),
    "a bound that binds nothing": (Wrapped(flat(), lambda x: x.clamp(-50, 50)), "1' (Linear)"),
    "a sum": (Branches(zero=False), "'two' (Linear)"),
    "a temperature": (Wrapped(flat(), lambda logits: logits / 2), "'network.1' (Linear)"),
    "a pool": (
        nn.Sequential(nn.Conv2d(1, CLASSES, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "'2' (Flatten)",
    ),
    "two views": (TwoViews(), "'top' (Linear)"),
    "no linear map": (nn.Sequential(nn.Flatten(), Bent(64, CLASSES)), "'1' (Bent)"),
    "no module": (Functional(), "the network itself (Functional)"),
    "a sum with nothing": (Wrapped(flat(), lambda logits: logits + 1e-3), "'network.1' (Linear)"),
    "groups": (
        nn.Sequential(nn.Conv2d(1, CLASSES, 8), nn.Conv2d(CLASSES, CLASSES, 1, groups=CLASSES),
                      nn.Flatten()),
        "'2' (Flatten)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_where_no_layer_gives_the_logits_the_last_module_is_named(case):
    model, words = REFUSED[case]
    with refused("no head", "last module before them is", words):
        find_head(model, IMAGES)


def test_a_branch_that_gives_nothing_yet_leaves_the_other_one_the_head():
    assert find_head(Branches(zero=True), IMAGES).name == "two"


# --- changing it --------------------------------------------------------------------------


@pytest.mark.parametrize("case", [one for one in FOUND if one != "with a norm on its weights"])
def test_resetting_a_class_makes_its_logit_zero_and_leaves_the_others(case):
    model = copy.deepcopy(FOUND[case][0]).eval()
    images = IMAGES.to(next(model.parameters()).dtype)
    before, weights = model(images), copy.deepcopy(dict(model.named_parameters()))

    marks = reset_outputs(model, own_head(model, IMAGES), [1])

    after = model(images)
    assert not after[:, 1].any()
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    for (name, value), mark in zip(model.named_parameters(), marks, strict=True):
        assert torch.equal(value, weights[name] * mark), name
    changed = sum(int((mark == 0).sum()) for mark in marks)
    head = find_head(model, IMAGES).module
    assert changed == head.weight[1].numel() + (head.bias is not None)


def test_a_head_that_shares_its_weights_or_makes_them_is_not_changed():
    model = HeadFirst()
    model.inner = nn.Linear(CLASSES, CLASSES)
    model.inner.weight = model.top.weight
    assert find_head(model, IMAGES).name == "top"
    with refused("head 'top' shares its weights with 'inner'"):
        own_head(model, IMAGES)
    with refused("head '1' are made of others"):
        own_head(normed(), IMAGES)
