"""Making an original: what its recipe takes from profile and data set, and what each rate means."""

import json
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.data import load_data, source
from mu.evaluation.outputs import predict
from mu.masks import Mask
from mu.originals.rounds import train_network
from mu.originals.train import make_recipe, train_original
from mu.recipes.profile import PROFILES
from mu.runs import Run
from mu.training import Training
from tests.helpers import laws, prunable, random_mask, refused
from tests.training.networks import DROPPING, PLAIN, Small

DATA = load_data("digits")


def recipe(**settings):
    defaults = {"arch": PLAIN, "epochs": 4, "train_size": 200, "rate": 0.8, "rewind_epoch": 1}
    return make_recipe(DATA, **{**defaults, **settings})


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# --- originals ----------------------------------------------------------------------------


def test_sparsity_is_what_was_asked_and_holds_in_the_weights():
    checkpoint = train_original(DATA, recipe(rate=0.9, arch="resnet_mini", epochs=2), Run())
    assert checkpoint.mask.total - checkpoint.mask.kept == round(0.9 * checkpoint.mask.total)
    parameters = dict(checkpoint.model.named_parameters())
    for name in checkpoint.mask:
        assert not parameters[name].detach()[~checkpoint.mask[name]].any()


def test_the_recipes_seed_decides_not_the_runs():
    one = train_original(DATA, recipe(seed=3, rate=0.0), Run(seed=0))
    other = train_original(DATA, recipe(seed=3, rate=0.0), Run(seed=99))
    third = train_original(DATA, recipe(seed=4, rate=0.0), Run(seed=0))
    assert equal(weights_of(one.model), weights_of(other.model))
    assert not equal(weights_of(one.model), weights_of(third.model))


def test_steps_of_both_trainings_follow_each_other():
    run = Run()
    train_original(DATA, recipe(), run)
    assert [step for step, _ in run.history("loss")] == list(range(7))
    assert [step for step, _ in run.history("VA")] == list(range(7))


def test_a_given_mask_is_named_in_the_spec():
    one = recipe()
    model = one.model.build(one.seed)
    mask = random_mask(model, prunable(model), kept=0.3)
    checkpoint = train_original(DATA, one, Run(), mask=mask)
    assert checkpoint.mask == mask
    assert checkpoint.spec.recipe.given_mask == mask.fingerprint
    assert checkpoint.spec.recipe.fingerprint != one.fingerprint
    assert train_original(DATA, one, Run()).spec.recipe.given_mask is None


def test_a_mask_that_does_not_fit_is_refused():
    with refused("the mask names 'other.weight'"):
        train_original(DATA, recipe(), Run(), mask=Mask({"other.weight": torch.zeros(3).bool()}))


# --- validation ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["imp", "sam"])
def test_validation_is_of_plain_images_in_evaluation_mode(profile):
    """What the network sees of them while it trains, and what is logged of the last epoch."""
    one = recipe(arch=DROPPING, rate=0.0, epochs=3, augment="crop_flip", profile=profile, lr=0.02)
    run = Run(device="cpu")
    seen = []
    handle = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, inputs: (
            seen.append((module.training, inputs[0])) if isinstance(module, Small) else None
        )
    )
    try:
        checkpoint = train_original(DATA, one, run)
    finally:
        handle.remove()
    val = checkpoint.spec.split(DATA).val
    plain = DATA.train.pixels[torch.from_numpy(val)].float() / 255
    plain = (plain - DATA.mean[0]) / DATA.std[0]
    by_head = 2  # of the search for the head, before the training
    passes = [images for training, images in seen if not training][by_head:]
    assert len(passes) == 3
    for images in passes:
        assert torch.allclose(images, plain, atol=1e-5)
    last = predict(checkpoint.model, DATA.training_subset(val), run).accuracy()
    assert run.history("VA")[-1] == (2, pytest.approx(last))
    with torch.no_grad():
        logits = checkpoint.model.eval()(plain)
    right = float((logits.argmax(1) == DATA.train.labels[torch.from_numpy(val)]).float().mean())
    assert last == pytest.approx(100 * right)


def test_validation_changes_nothing_and_may_be_left_out():
    with_val, none = Run(), Run()
    one = train_original(DATA, recipe(arch="resnet_mini", epochs=2), with_val)
    data = DATA.training_subset(one.spec.split(DATA).train)
    model, mask = train_network(one.spec.recipe, data, none, seed=one.spec.recipe.seed)
    assert mask == one.mask
    assert equal(weights_of(model), weights_of(one.model))
    assert not none.history("VA")
    assert len(with_val.history("VA")) == 3
    no_part = Run()
    train_original(DATA, recipe(val_share=0.0), no_part)
    assert not no_part.history("VA")


# --- recipes ------------------------------------------------------------------------------

OWN = source("digits")


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_over_the_data_sets_defaults_over_the_general_ones(name):
    one, its = make_recipe(DATA, profile=name), PROFILES[name]
    assert one.profile == name
    assert one.pruner == its.pruner
    assert one.model.arch == (its.arch or OWN.arch)
    expected = {**Training().as_dict(), **OWN.training, **its.training}
    expected["warmup"] = round(its.warmup * OWN.training["epochs"])
    assert one.training.as_dict() == expected


def test_what_the_profiles_are():
    """The paper's, and each other's difference from the baseline; read once more, by hand."""
    imp, ls, sam, vit, synflow = (
        make_recipe(DATA, profile=name) for name in ("imp", "ls", "sam", "vit", "synflow")
    )
    assert make_recipe(DATA) == imp
    assert (imp.training.label_smoothing, imp.training.sam_rho) == (0.0, 0.0)
    assert (imp.training.optimizer, imp.training.schedule) == ("sgd", "one_cycle")
    assert ls.training == imp.training.replace(label_smoothing=0.1)
    assert sam.training == imp.training.replace(sam_rho=0.05)
    changed = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "schedule": "cosine"}
    assert vit.training == imp.training.replace(**changed, warmup=1)  # of 20 epochs
    assert vit.model.arch == "vit_tiny"
    assert vit.training.batch_size == 64  # the data set's, which the profile does not mention
    assert synflow.training == imp.training
    assert synflow.make_pruner().when == "initial"
    assert {one.make_pruner().when for one in (imp, ls, sam, vit)} == {"trained"}


EXPLICIT = {
    "lr": (0.3, 0.7),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("constant", "step"),
    "weight_decay": (0.25,),
    "label_smoothing": (0.0, 0.4),
    "sam_rho": (0.0, 0.5),
    "warmup": (0, 2, 3),
    "epochs": (5, 9),
    "batch_size": (7,),
    "augment": ("crop",),
}


plain_recipe = cache(lambda name: make_recipe(DATA, profile=name))


@laws(60)
@given(
    name=st.sampled_from(sorted(PROFILES)),
    asked=st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in EXPLICIT.items()}
    ),
    arch=st.sampled_from([None, PLAIN]),
    pruner=st.sampled_from([None, "imp", "random"]),
)
def test_what_is_given_wins_and_nothing_else_changes(name, asked, arch, pruner):
    if asked.get("optimizer") == "adamw" and plain_recipe(name).training.nesterov:
        asked = {**asked, "nesterov": False}  # else it is refused
    one = make_recipe(DATA, profile=name, arch=arch, pruner=pruner, **asked)
    plain = plain_recipe(name)
    for key, value in one.training.as_dict().items():
        if key in asked:
            assert value == asked[key]
        elif key != "warmup":
            assert value == getattr(plain.training, key)
    assert one.model.arch == (arch or plain.model.arch)
    assert one.pruner == (pruner or plain.pruner)


@laws(60)
@given(epochs=st.integers(1, 400))
def test_the_share_of_warm_up_scales_with_the_epochs(epochs):
    vit = make_recipe(DATA, profile="vit", arch=PLAIN, epochs=epochs)
    assert abs(vit.training.warmup - 0.05 * epochs) <= 0.5
    assert vit.training.warmup <= epochs
    for name in ("imp", "ls", "sam", "synflow"):
        other = make_recipe(DATA, profile=name, arch=PLAIN, epochs=epochs)
        assert other.training.warmup == 0


def test_none_is_not_given():
    assert make_recipe(DATA, arch=None, lr=None, profile=None, seed=None) == make_recipe(DATA)


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"profile": "vitt"}, ("profile 'vitt'", "vit")),
        ({"rat": 0.5}, ("setting of prune 'rat'", "rate")),
        ({"rewind": "lt", "rewind_epoch": 3}, ("rewind_epoch=3", "rewind=lt", "leave it out")),
        ({"rewind": "pt", "rewind_epoch": 3}, ("rewind_epoch=3", "rewind=pt")),
        ({"epochs": 4, "rewind_epoch": 4}, ("rewind_epoch=4", "below epochs=4")),
        ({"rounds": 2}, ("rounds=2", "pruner=imp")),
        ({"profile": "vit", "epochs": 4, "warmup": 5}, ("warmup=5", "epochs=4")),
        ({"iterations": 3}, ("iterations",)),
        ({"label_smoothing": 1.0}, ("label_smoothing=1.0", "below 1")),
        ({"sam_rho": -0.1}, ("sam_rho=-0.1", "at least 0")),
        ({"optimizer": "lion"}, ("optimizer 'lion'", "sgd")),
    ],
)
def test_what_a_recipe_refuses(settings, texts):
    with refused(*texts):
        make_recipe(DATA, **settings)


def test_a_rewind_epoch_of_none_is_the_papers_in_proportion():
    assert make_recipe(DATA, epochs=182).rewinding.epoch(182) == 8
    for epochs in (1, 2, 10, 40, 100):
        found = make_recipe(DATA, epochs=epochs).rewinding.epoch(epochs)
        assert found == (0 if epochs == 1 else max(1, round(8 * epochs / 182)))
    assert make_recipe(DATA, epochs=182, rewind="lt").rewinding.epoch(182) == 0


def test_a_recipe_survives_its_dictionary():
    for one in (recipe(), make_recipe(DATA, profile="vit", rewind="pt", train_size=99, seed=5)):
        again = type(one).from_dict(json.loads(json.dumps(asdict(one))))
        assert again == one
        assert again.fingerprint == one.fingerprint
    old = {name: value for name, value in asdict(recipe()).items() if name not in ("profile",)}
    assert type(one).from_dict(old).profile == "imp"  # written before there were profiles


def test_the_split_of_the_recipe_is_trained_on():
    one = recipe(split_seed=7, train_size=60)
    run = Run()
    checkpoint = train_original(DATA, one, run)
    assert run.samples_seen == 60 * 7
    parts = checkpoint.spec.split(DATA)
    assert len(parts.train) == 60
    assert np.intersect1d(parts.train, parts.val).size == 0
