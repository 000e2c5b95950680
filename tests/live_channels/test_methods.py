"""Every method does over live channels what it does over all of them."""

from __future__ import annotations

import copy

import pytest
import torch

import mu.live_channels
from mu.checkpoints import forget_split
from mu.data import load_data
from mu.evaluation.controls import CONTROLS
from mu.live_channels.layers import LiveConv2d
from mu.methods import METHODS, make_method
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from tests.methods.networks import RESIDUAL
from tests.methods.small import small

DATA = load_data("digits")
WHOLE = {"ff", "iu", "ssd"}  # single samples' gradients, and importances of all weights


@pytest.fixture(scope="module")
def original():
    recipe = make_recipe(DATA, arch=RESIDUAL, pruner="channel", rate=0.9, epochs=4, train_size=120)
    return train_original(DATA, recipe, Run(device="cpu"))


def weights(checkpoint):
    return torch.cat([one.double().flatten() for one in checkpoint.model.state_dict().values()])


@pytest.mark.parametrize("name", sorted({*METHODS} - {*CONTROLS}))
def test_a_method_gives_the_same_network(name, original, monkeypatch):
    split = forget_split(original, DATA, "class:3")
    passes, forward, found = [], LiveConv2d.forward, []
    monkeypatch.setattr(
        LiveConv2d, "forward", lambda *given: passes.append(given) or forward(*given)
    )
    for least in (0.4, 2.0):
        monkeypatch.setattr(mu.live_channels, "LEAST", least)
        checkpoint = copy.deepcopy(original)
        method = make_method(name, small(name, scaled=True))
        method.unlearn(checkpoint, split, Run(device="cpu", seed=0))
        found.append(weights(checkpoint))
        assert bool(passes) == (least < 1 and name not in WHOLE)
        passes.clear()
    assert float((found[0] - found[1]).norm()) < 1e-5
    assert float((found[0] - weights(original)).norm()) > 1e-4
