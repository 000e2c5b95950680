"""Retrain: the original's own recipe, without the forget set."""

import copy

import numpy as np
import torch

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.methods import make_method
from mu.originals.train import make_recipe, train_network, train_original
from mu.runs import Run

DATA = load_data("digits")
BLIND = ("forget",)  # of the contract tests


def run_retrain(original, split, seed=0, **settings):
    checkpoint = copy.deepcopy(original)
    make_method("retrain", settings).unlearn(checkpoint, split, Run(seed=seed))
    return checkpoint


def make_original(rate):
    return train_original(DATA, make_recipe(DATA, rate=rate, epochs=3, train_size=150), Run())


def same(one, other):
    return all(
        torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()
    )


def test_forgetting_nothing_would_give_the_dense_original_again():
    """The same recipe, seed and samples: one forgotten sample is the only difference."""
    original = make_original(0.0)
    data = DATA.training_subset(original.spec.split(DATA).train)
    again, _ = train_network(original.spec.recipe, data, Run(seed=0), mask=original.mask)
    assert same(original.model, again)


def test_upstream_keeps_the_mask_and_never_rewinds():
    """The start is the initial weights under the mask, not weights that saw the forget set."""
    original = make_original(0.9)
    split = forget_split(original, DATA, "class:2")
    checkpoint = run_retrain(original, split)
    expected, mask = train_network(
        original.spec.recipe, split.retain_set, Run(seed=0), mask=original.mask
    )
    assert checkpoint.mask == original.mask == mask
    assert same(checkpoint.model, expected)


def test_retain_finds_a_mask_of_its_own_without_the_forget_set():
    original = make_original(0.9)
    split = forget_split(original, DATA, "class:2")
    checkpoint = run_retrain(original, split, mask_from="retain")
    assert checkpoint.mask != original.mask
    assert checkpoint.mask.kept == original.mask.kept
    # On data in which the forget set is noise, the same: it was never looked at.
    data = load_data("digits")
    noise = np.random.default_rng(0).integers(0, 256, data.train.pixels[split.forget].shape)
    data.train.pixels[split.forget] = torch.from_numpy(noise).byte()
    spoilt = type(split)(data, split.forget, split.retain, split.val)
    assert run_retrain(original, spoilt, mask_from="retain").mask == checkpoint.mask
