"""The compact network gives the logits of the masked one: architectures, pruners, rates."""

from __future__ import annotations

import os
from itertools import product

import numpy as np
import pytest
import torch

from mu.compact.network import TOLERANCE, compact
from mu.compact.sizes import sizes
from mu.masks import Mask
from mu.models import ARCHITECTURES
from mu.pruning import PRUNERS
from mu.runs import Run
from tests.compact.networks import built, draws, everything, images
from tests.helpers import make_dataset, mostly_slow, prunable
from tests.pruning.test_contract import pruner

RATES = (0.5, 0.9, 0.95, 0.99)
SIDES = dict.fromkeys(ARCHITECTURES, 8) | {"resnet50": 16, "vgg16_bn": 16, "swin_t": 32}
LARGE = ("resnet18", "resnet50", "vgg16_bn", "swin_t")
# torch has no second derivative of a normalisation without a scale, which GraSP needs.
CASES = [
    (arch, name, rate)
    for arch, (place, name) in product(ARCHITECTURES, enumerate(PRUNERS))
    for rate in RATES
    if (arch, name) != ("fastnet", "grasp")
    # Large networks take seconds each: a rate for each pruner, or MU_EXACT=all.
    if arch not in LARGE
    or os.environ.get("MU_EXACT") == "all"
    or rate == RATES[(place + LARGE.index(arch)) % len(RATES)]
]
QUICK = [
    *product(("resnet_mini", "fastnet", "mobilenet_v3_small"), ("omp", "channel"), (0.95,)),
    ("resnet_mini", "synflow", 0.99),
    ("vit_tiny", "channel", 0.5),
]


def logits(model, batch):
    with torch.no_grad():
        return model(batch)


def assert_same(model, small, batch):
    wanted, found = logits(model, batch), logits(small, batch)
    assert float((wanted - found).abs().max()) <= TOLERANCE * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize(("arch", "name", "rate"), mostly_slow(CASES, *QUICK))
def test_logits_are_the_same(arch, name, rate):
    side = SIDES[arch]
    dataset = make_dataset(train=8, test=4, classes=4, size=side, channels=3)
    model = built(arch, side)
    dense = Mask.dense(model, prunable(model))
    data, run = dataset.training_subset(np.arange(8)), Run(device="cpu")
    mask = pruner(name, rate=rate).prune(model, dense, data, run)
    mask.apply(model)
    small = compact(model, images(2, side=side), arch).network
    assert_same(model, small, images(3, side=side, seed=2))  # noise
    assert_same(model, small, dataset.test.pixels[:1].float() / 255)  # an image, alone
    before, after = (sizes(one, images(1, side=side)) for one in (model, small))
    assert after.macs <= before.macs
    if name == "channel" and rate > 0.9:
        assert after.params < before.params / 2
        assert after.macs < before.macs / 1.5


@pytest.mark.parametrize("kept", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_rules_know_in_one_network(seed, kept):
    model = everything(seed, kept)
    done = compact(model, images(2))
    assert sum(done.removed.values()) == done.channels[0] - done.channels[1] > 0
    assert_same(model, done.network, 10 * images(7, seed=seed))


def test_the_given_network_stays_as_it_is():
    model = everything(0, 0.3).train()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    compact(model, images(2))
    assert model.training
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_without_a_mask_nothing_is_removed():
    model = built("resnet_mini", 8)
    with torch.no_grad():
        for one in model.parameters():
            one += 0.01 * torch.rand(one.shape, generator=draws(3))
    done = compact(model, images(2, side=8))
    assert done.removed == {}
    assert torch.equal(logits(model, images(side=8)), logits(done.network, images(side=8)))
