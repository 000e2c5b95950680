"""Fisher forgetting: every weight's noise against a loop, the reset class, the rule."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mu.checkpoints import Checkpoint, forget_split
from mu.data import load_data
from mu.data.forget_split import ForgetSplit
from mu.evaluation.outputs import predict
from mu.masks import Mask
from mu.methods import make_method
from mu.methods.ff import noise_deviation
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from tests.fisher import slow
from tests.helpers import bits, make_checkpoint, make_dataset, mostly_slow, random_mask, refused
from tests.methods.networks import HEADLESS, RESIDUAL
from tests.training.networks import PLAIN

DATASET = make_dataset(train=36, test=9, classes=3, size=8)
SEED = 5
BLIND = ("forget",)  # of the contract tests


@pytest.fixture(scope="module", params=[1.0, 0.3], ids=["dense", "sparse"])
def original(request):
    return double(kept=request.param, arch=RESIDUAL)


def double(**settings):
    """In double precision, so that formulas can be held to many digits."""
    checkpoint = make_checkpoint(DATASET, **settings)
    checkpoint.model.double()
    return checkpoint


def unlearned(original, forget="random:5", run=None, **settings):
    checkpoint = copy.deepcopy(original)
    split = forget if isinstance(forget, ForgetSplit) else forget_split(original, DATASET, forget)
    method = make_method("ff", {"alpha": 0.01, "fisher_labels": "exact", **settings})
    method.unlearn(checkpoint, split, run or Run(device="cpu", seed=SEED))
    return checkpoint


def noise(original):
    """Standard normal numbers, one a free weight."""
    count = len(slow.weights(original.model, original.mask))
    return torch.randn(count, generator=Run(seed=SEED).generator("noise")).double()


def deviation(original, data, damping):
    information = slow.kept(original.model, original.mask, slow.diagonal(original.model, data))
    return (information + damping * information.mean()) ** -0.25


# --- the formula --------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "damping"), [(0.01, 1e-3), (0.2, 0.5)])
def test_each_weight_gets_noise_by_its_fisher_information(original, alpha, damping):
    run = Run(device="cpu", seed=SEED)
    found = unlearned(original, run=run, alpha=alpha, damping=damping)
    retain = forget_split(original, DATASET, "random:5").retain_set
    expected = alpha * noise(original) * deviation(original, retain, damping)
    moved = slow.weights(found.model, found.mask) - slow.weights(original.model, original.mask)
    assert slow.error(moved, expected) < 1e-8
    assert run.metrics["alpha"] == alpha
    assert run.samples_seen == len(retain)


def test_the_information_may_be_of_some_retain_images(original):
    found = unlearned(original, fisher_samples=4)
    retain = forget_split(original, DATASET, "random:5").retain_set
    some = retain.drawn(4, Run(seed=SEED).generator("Fisher samples"))
    expected = 0.01 * noise(original) * deviation(original, some, 1e-3)
    moved = slow.weights(found.model, found.mask) - slow.weights(original.model, original.mask)
    assert len(some) == 4 < len(retain)
    assert slow.error(moved, expected) < 1e-8


def test_pruned_weights_and_statistics_get_none(original):
    found = unlearned(original, alpha=1.0)
    for name in original.mask:
        pruned = found.model.get_parameter(name)[~original.mask[name]]
        assert not bits(pruned).any()
    for one, other in zip(found.model.buffers(), original.model.buffers(), strict=True):
        assert torch.equal(one, other)
    assert found.mask == original.mask


def test_drawn_labels_are_an_estimate_of_exact_ones(original):
    exact, drawn = (
        slow.weights(unlearned(original, fisher_labels=labels).model, original.mask)
        - slow.weights(original.model, original.mask)
        for labels in ("exact", "drawn")
    )
    assert torch.cosine_similarity(exact, drawn, dim=0) > 0.8
    assert not torch.allclose(exact, drawn, rtol=0.1)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_the_deviation_is_the_formulas_however_small_the_information_is(scale):
    information = torch.tensor([0.0, 1.0, 3.0, 1e-6]) * scale
    exact = information.double()
    expected = (exact + 1e-3 * exact.mean()) ** -0.25
    assert torch.allclose(noise_deviation(information, 1e-3).double(), expected, rtol=1e-5)


def test_without_any_information_every_weight_gets_the_same():
    assert torch.equal(noise_deviation(torch.zeros(5), 1e-3), torch.ones(5))


# --- the output of a forgotten class ------------------------------------------------------


def of_class(original, label, also=0):
    """The whole class, and so many samples of the others."""
    parts = original.spec.split(DATASET)
    labels = DATASET.train.labels.numpy()[parts.train]
    others = parts.train[labels != label][:also]
    return ForgetSplit.of(DATASET, parts, np.concatenate([parts.train[labels == label], others]))


@pytest.mark.parametrize("also", [0, 3])
def test_a_class_that_is_forgotten_as_a_whole_has_no_output_left(original, also):
    found, untouched = (
        unlearned(original, of_class(original, 1, also), reset_class=reset).model
        for reset in (True, False)
    )
    assert not found.fc.weight[1].any()
    assert not found.fc.bias[1].any()
    for name, value in untouched.named_parameters():
        others = found.get_parameter(name).clone()
        if name.startswith("fc."):
            assert value[1].all()
            others[1] = value[1]
        assert torch.equal(others, value), name


def test_alpha_0_resets_the_class_and_changes_nothing_else(original):
    found = unlearned(original, "class:2", alpha=0.0, reset_class=True).model
    original_head = dict(original.model.named_parameters())
    for name, value in found.named_parameters():
        expected = original_head[name].detach().clone()
        if name.startswith("fc."):
            expected[2] = 0
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("forget", ["random:5", "class:2:4", "random:12"])
def test_otherwise_no_output_is_reset(original, forget):
    assert forget_split(original, DATASET, forget).forgotten_classes == ()
    found = unlearned(original, forget, alpha=0.0, reset_class=True).model
    assert torch.equal(found.fc.weight, original.model.fc.weight)
    assert torch.equal(found.fc.bias, original.model.fc.bias)


def test_a_network_without_a_head_is_refused_where_a_class_is_to_be_reset():
    checkpoint = foreign(HEADLESS)
    run = Run(device="cpu", seed=SEED)
    with refused("reset_class=True", "'2' (Flatten)", "give reset_class=False"):
        unlearned(checkpoint, "class:1", run=run, reset_class=True)
    assert run.samples_seen == 0  # before any work
    for settings in ({"forget": "random:5"}, {"forget": "class:1", "reset_class": False}):
        found = unlearned(checkpoint, **settings, alpha=0.0).model
        assert torch.equal(found[0].weight, checkpoint.model[0].weight)


def foreign(arch):
    made = make_checkpoint(DATASET, arch=RESIDUAL)
    spec = replace(made.spec.recipe.model, arch=arch)
    recipe = replace(made.spec.recipe, model=spec)
    model = spec.build(0).double()
    return Checkpoint(model, random_mask(model, [], kept=1), replace(made.spec, recipe=recipe))


def test_a_mask_that_keeps_nothing_leaves_biases_and_the_head_to_get_noise():
    checkpoint = foreign(PLAIN)
    names = ["conv.weight", "hidden.weight"]
    mask = Mask({n: torch.zeros_like(checkpoint.model.get_parameter(n)).bool() for n in names})
    mask.apply(checkpoint.model)
    found = unlearned(Checkpoint(checkpoint.model, mask, checkpoint.spec)).model
    assert not any(found.get_parameter(name).any() for name in names)
    assert not torch.equal(found.head.bias, checkpoint.model.head.bias)
    assert all(value.isfinite().all() for value in found.state_dict().values())


# --- the rule -----------------------------------------------------------------------------

DIGITS = load_data("digits")


@pytest.fixture(scope="module")
def fitted():
    return train_original(
        DIGITS, make_recipe(DIGITS, arch=RESIDUAL, rate=0.8, epochs=12, train_size=150), Run()
    )


@pytest.mark.parametrize(
    ("forget", "max_accuracy_drop"),
    mostly_slow([("class:3", 30.0), ("random:10%", 5.0)], ("class:3", 30.0)),
)
def test_its_scale_is_the_rules(fitted, forget, max_accuracy_drop):
    """And noise of that scale, given, is the same; a little more costs too much or forgets it."""
    split = forget_split(fitted, DIGITS, forget)
    run, found = Run(device="cpu"), copy.deepcopy(fitted)
    make_method("ff", {"max_accuracy_drop": max_accuracy_drop}).unlearn(found, split, run)
    before, after = (
        predict(one.model, split.retain_set, Run(device="cpu")).accuracy()
        for one in (fitted, found)
    )
    assert before > 95
    assert before - max_accuracy_drop <= after
    assert run.metrics["excess"] < run.metrics["excess_before"]
    assert run.metrics["excess"] >= -1
    again = copy.deepcopy(fitted)
    make_method("ff", {"alpha": run.metrics["alpha"]}).unlearn(again, split, Run(device="cpu"))
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_class_is_not_reset_by_default(fitted):
    split = forget_split(fitted, DIGITS, "class:3")
    found = copy.deepcopy(fitted)
    make_method("ff").unlearn(found, split, Run(device="cpu"))
    assert found.model.fc.weight[3].all()
