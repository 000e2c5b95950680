"""Retrain: the original's own recipe, without the forget set."""

import copy

import numpy as np
import pytest
import torch

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.data.batches import batch_count
from mu.methods import make_method
from mu.originals.train import make_recipe, train_network, train_original
from mu.runs import Run
from tests.methods.networks import RESIDUAL
from tests.training.networks import PLAIN

DATA = load_data("digits")
BLIND = ("forget",)  # of the contract tests


def run_retrain(original, split, seed=0, **settings):
    checkpoint = copy.deepcopy(original)
    make_method("retrain", settings).unlearn(checkpoint, split, Run(seed=seed))
    return checkpoint


def make_original(rate):
    return train_original(
        DATA, make_recipe(DATA, arch=RESIDUAL, rate=rate, epochs=3, train_size=150), Run()
    )


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


@pytest.mark.parametrize(("pruner", "rounds"), [("omp", 1), ("imp", 2)])
@pytest.mark.parametrize(
    ("settings", "trainings"),
    [
        ({"rewind": "rewind_lt", "rewind_epoch": 1}, 1),
        ({"rewind": "lt"}, 1),
        ({"rewind": "pt"}, "all"),
        ({"rewind": "pt", "when": "initial"}, 1),
        ({"rewind": "pt", "rate": 0.0}, 1),
    ],
)
def test_the_oracle_takes_every_step_that_is_in_the_originals_weights(
    pruner, rounds, settings, trainings, monkeypatch
):
    """The optimiser's steps are counted, and the images; where ``pt``, of every stage."""
    steps = []
    plain = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda *given, **named: (steps.append(1), plain(*given, **named))
    )
    settings = {"rate": 0.5, "pruner": pruner, "rounds": rounds, **settings}
    recipe = make_recipe(DATA, arch=PLAIN, epochs=2, train_size=90, batch_size=30, **settings)
    original = train_original(DATA, recipe, Run())
    made, split = len(steps), forget_split(original, DATA, "random:15")
    checkpoint, run = copy.deepcopy(original), Run()
    make_method("retrain").unlearn(checkpoint, split, run)
    epochs = 2 * (1 + rounds if trainings == "all" else trainings)
    per_epoch = batch_count(len(split.retain), 30)
    assert len(steps) - made == epochs * per_epoch
    assert run.samples_seen == epochs * len(split.retain)
    assert checkpoint.mask == original.mask
    if trainings == "all":  # what the original was trained, epoch by epoch
        assert made == epochs * batch_count(len(original.spec.split(DATA).train), 30)


def test_an_oracle_of_pt_never_saw_the_forget_set():
    recipe = make_recipe(
        DATA, arch=PLAIN, epochs=2, train_size=90, batch_size=30, rate=0.5, rewind="pt"
    )
    original = train_original(DATA, recipe, Run())
    split = forget_split(original, DATA, "class:2")
    expected = run_retrain(original, split)
    data = load_data("digits")
    data.train.pixels[split.forget] = 255 - data.train.pixels[split.forget]
    other = type(split)(data, split.forget, split.retain, split.val)
    spoilt = copy.deepcopy(original)
    for value in spoilt.model.parameters():
        value.data.fill_(7.0)  # nor the original's weights
    assert same(run_retrain(spoilt, other).model, expected.model)


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
