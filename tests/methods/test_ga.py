"""Gradient ascent: its steps by hand, steps of a fixed length, and where it ends."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.data.batches import Batches
from mu.evaluation.outputs import predict
from mu.methods import make_method
from mu.methods.steps import criterion as criterion_module
from mu.originals.train import make_recipe, train_original
from mu.runs import Run, generator
from mu.training.optimizers import NormalizedSGD
from tests.helpers import bits
from tests.methods.networks import RESIDUAL

DATA = load_data("digits")
SMALL = {"epochs": 6, "batch_size": 4}  # of the contract tests
BLIND = ("retain",)
SEED = 2


@pytest.fixture(scope="module", params=[0.0, 0.8], ids=["dense", "sparse"])
def original(request):
    """It fits its images, so that there is something to forget."""
    recipe = make_recipe(DATA, arch=RESIDUAL, rate=request.param, epochs=12, train_size=120)
    return train_original(DATA, recipe, Run(device="cpu"))


def unlearned(original, split, run=None, **settings):
    checkpoint = copy.deepcopy(original)
    run = run or Run(device="cpu", seed=SEED)
    make_method("ga", settings).unlearn(checkpoint, split, run)
    return checkpoint


def same(one, other):
    left, right = one.model.state_dict(), other.model.state_dict()
    return all(np.array_equal(bits(left[name]), bits(right[name])) for name in left)


def flat(checkpoint):
    return torch.cat([one.detach().double().flatten() for one in checkpoint.model.parameters()])


def accuracy(checkpoint, data):
    return predict(checkpoint.model, data, Run(device="cpu")).accuracy()


def climbed(original, batches, change):
    """By hand: for each batch ``weight + change(gradient of the mean loss, weights)``."""
    model = copy.deepcopy(original.model).eval()
    parameters = dict(model.named_parameters())
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels)
        gradients = dict(
            zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True)
        )
        for name in original.mask:
            gradients[name] = gradients[name] * original.mask[name]
        factor = change(gradients.values(), parameters.values())
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter += factor * gradients[name]
    return model


def check_same_weights(found, expected, tolerance=1e-5):
    for name, weight in expected.named_parameters():
        other = found.model.get_parameter(name)
        assert torch.allclose(other, weight, rtol=1e-4, atol=tolerance), name


# --- plain ascent -------------------------------------------------------------------------


@pytest.mark.parametrize("forget", ["class:3", "random:1"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_with_lr_it_climbs_the_mean_loss_of_the_forget_set(original, forget, epochs):
    split, run = forget_split(original, DATA, forget), Run(device="cpu", seed=SEED)
    found = unlearned(original, split, run, lr=0.01, epochs=epochs, batch_size=1000)
    whole = list(Batches(split.forget_set, 1000, torch.device("cpu")).in_order())
    check_same_weights(found, climbed(original, whole * epochs, lambda _g, _w: 0.01))
    assert not same(found, original)
    assert run.samples_seen == epochs * len(split.forget)
    assert [lr for _, lr in run.history("lr")] == [0.01] * epochs
    assert run.notes == []


def test_batches_are_shuffled_anew_each_epoch(original):
    split = forget_split(original, DATA, "class:3")
    found = unlearned(original, split, lr=0.01, epochs=2, batch_size=5)
    batches = Batches(split.forget_set, 5, torch.device("cpu"))
    assert len(batches) > 1
    shuffled = [
        batch
        for epoch in range(2)
        for batch in batches.shuffled(generator(SEED, f"order of epoch {epoch}"))
    ]
    check_same_weights(found, climbed(original, shuffled, lambda _g, _w: 0.01))


def test_the_loss_climbs(original):
    run = Run(device="cpu")
    unlearned(original, forget_split(original, DATA, "class:3"), run, lr=0.01, epochs=5)
    losses = [-value for _, value in run.history("loss")]
    assert losses == sorted(losses)
    assert losses[-1] > losses[0] > 0


@pytest.mark.parametrize("settings", [{"lr": 0.05}, {}])
def test_statistics_and_pruned_weights_stay_as_they_are(original, settings):
    found = unlearned(original, forget_split(original, DATA, "class:3"), epochs=3, **settings)
    assert not same(found, original)
    for (name, one), other in zip(
        found.model.named_buffers(), original.model.buffers(), strict=True
    ):
        assert torch.equal(one, other), name
    for name in original.mask:
        assert not bits(found.model.get_parameter(name)[~original.mask[name]]).any()
    assert found.mask == original.mask


@pytest.mark.parametrize("lr", [1e6, 1e30])
@pytest.mark.parametrize("batch_size", [1000, 4])
def test_an_ascent_that_diverges_ends_with_the_last_weights_that_were_numbers(
    original, lr, batch_size
):
    split, run = forget_split(original, DATA, "class:3"), Run(device="cpu", seed=SEED)
    found = unlearned(original, split, run, lr=lr, batch_size=batch_size, epochs=20)
    assert all(one.isfinite().all() for one in found.model.state_dict().values())
    (note,) = run.notes
    assert "of the ascent was taken back and ended it" in note
    assert "lower lr" in note
    kept = int(note.split()[1]) - 1
    assert 0 <= kept < 19
    if kept:
        again = unlearned(original, split, lr=lr, batch_size=batch_size, epochs=kept)
        assert same(found, again)
    else:
        assert same(found, original)
    for name in original.mask:
        assert not bits(found.model.get_parameter(name)[~original.mask[name]]).any()


# --- steps of a fixed length --------------------------------------------------------------


def relative(gradients, weights, length):
    """The factor that makes a step ``length`` times as long as all weights together."""
    of_gradients, of_weights = (
        math.sqrt(sum(float(one.detach().double().square().sum()) for one in group))
        for group in (gradients, weights)
    )
    return length * of_weights / of_gradients


@pytest.fixture
def nothing_holds_it_back(monkeypatch):
    monkeypatch.setattr(criterion_module.StopCriterion, "drop", lambda _self, _model: 0.0)
    monkeypatch.setattr(criterion_module.StopCriterion, "excess", lambda _self, _model: 50.0)


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_the_batches_of_an_epoch_share_its_step(original, batch_size, nothing_holds_it_back):
    split, run = forget_split(original, DATA, "class:3"), Run(device="cpu", seed=SEED)
    found = unlearned(original, split, run, step=0.02, epochs=2, batch_size=batch_size)
    batches = Batches(split.forget_set, batch_size, torch.device("cpu"))
    length = 0.02 / len(batches)
    shuffled = [
        batch
        for epoch in range(2)
        for batch in batches.shuffled(generator(SEED, f"order of epoch {epoch}"))
    ]
    expected = climbed(original, shuffled, lambda g, w: relative(g, w, length))
    check_same_weights(found, expected, 1e-4)
    assert run.metrics["lr"] == pytest.approx(length)


# --- where it ends ------------------------------------------------------------------------


@pytest.mark.parametrize("max_accuracy_drop", [1.0, 20.0])
@pytest.mark.parametrize("forget", ["class:3", "random:1"])
def test_the_retain_set_loses_no_more_than_is_to_be_spent(original, forget, max_accuracy_drop):
    split, run = forget_split(original, DATA, forget), Run(device="cpu")
    found = unlearned(original, split, run, max_accuracy_drop=max_accuracy_drop)
    assert (
        accuracy(found, split.retain_set)
        >= accuracy(original, split.retain_set) - max_accuracy_drop
    )
    assert all(one.isfinite().all() for one in found.model.state_dict().values())


def test_it_stops_once_the_class_is_forgotten(original):
    split, run = forget_split(original, DATA, "class:3"), Run(device="cpu")
    found = unlearned(original, split, run, max_accuracy_drop=100.0, epochs=200)
    assert accuracy(original, split.forget_set) > 90
    assert accuracy(found, split.forget_set) == 0
    assert run.notes == []
    steps, shares = zip(*run.history("step_share"), strict=True)
    assert set(shares) == {1.0}
    assert 0 < len(steps) < 199
    before = unlearned(original, split, max_accuracy_drop=100.0, epochs=len(steps) - 1)
    assert accuracy(before, split.forget_set) > 0


@pytest.mark.parametrize("why", ["costs", "forgets too much"])
def test_epochs_that_go_too_far_are_taken_back_and_the_next_go_half_as_far(
    original, monkeypatch, why
):
    """No more than 1.6 steps are right: one of 1, none of 1, one of 1/2."""
    start, whole = flat(original), float(flat(original).norm())
    far = {"reached": 0.0}

    def over(model):
        now = torch.cat([one.detach().double().flatten() for one in model.parameters()])
        far["reached"] = float((now - start).norm()) / whole / 0.01
        return far["reached"] >= 1.6

    def drop(_self, model):
        return 2.0 if over(model) and why == "costs" else 0.0

    def excess(_self, model):
        return -10.0 if over(model) and why == "forgets too much" else 50.0

    monkeypatch.setattr(criterion_module.StopCriterion, "drop", drop)
    monkeypatch.setattr(criterion_module.StopCriterion, "excess", excess)
    split, run = forget_split(original, DATA, "class:3"), Run(device="cpu")
    found = unlearned(original, split, run, step=0.01, epochs=30, batch_size=1000)
    shares = [share for _, share in run.history("step_share")]
    assert shares[:3] == [1.0, 0.5, 0.5]
    assert shares[-1] < 1 / 128 <= shares[-2]
    assert all(after in (before, before / 2) for before, after in itertools.pairwise(shares))
    assert [lr for _, lr in run.history("lr")] == [0.01 * one for one in [1.0, *shares[:-1]]]
    assert 1.4 < float((flat(found) - start).norm()) / whole / 0.01 < 1.6
    assert "more than 1 point (max_accuracy_drop) before" in run.notes[0]


def test_what_is_forgotten_already_is_left_alone(original, monkeypatch):
    monkeypatch.setattr(criterion_module.StopCriterion, "excess", lambda _self, _model: -5.0)
    assert same(unlearned(original, forget_split(original, DATA, "class:3")), original)


def test_settings_in_force_are_the_originals_where_none_are_given(original):
    used = make_method("ga").in_force(original)
    assert (used["batch_size"], used["augment"]) == (64, "none")
    used = make_method("ga", {"batch_size": 7, "augment": "crop"}).in_force(original)
    assert (used["batch_size"], used["augment"], used["lr"]) == (7, "crop", None)


# --- the optimiser ------------------------------------------------------------------------


def network(scale=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    for parameter in model.parameters():
        parameter.data.mul_(scale)
    return model


def vector(tensors):
    return torch.cat([one.detach().double().flatten() for one in tensors])


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
@pytest.mark.parametrize("lr", [1e-3, 0.9])
def test_a_zero_gradient_does_nothing(scale, lr):
    model = network(scale)
    before = vector(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    NormalizedSGD(model, lr).step()
    assert torch.equal(vector(model.parameters()), before)


@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e-10, 1.0, 1e10, 1e30])
@pytest.mark.parametrize("lr", [1e-3, 0.5])
def test_a_step_goes_down_the_gradient_by_a_share_of_the_weights_length(size, lr):
    model = network()
    before = vector(model.parameters())
    draws = torch.Generator().manual_seed(1)
    directions = [torch.randn(one.shape, generator=draws) for one in model.parameters()]
    for parameter, direction in zip(model.parameters(), directions, strict=True):
        parameter.grad = direction * size
    gradient = vector(one.grad for one in model.parameters())
    NormalizedSGD(model, lr).step()
    moved = vector(model.parameters()) - before
    expected = -lr * before.norm() * gradient / gradient.norm()
    assert (moved - expected).norm() < 1e-3 * expected.norm()


def test_parameters_without_a_gradient_take_no_part():
    model = network()
    before = [one.detach().clone() for one in model.parameters()]
    model[1].weight.grad = torch.ones_like(model[1].weight)
    NormalizedSGD(model, 0.1).step()
    for number, (one, old) in enumerate(zip(model.parameters(), before, strict=True)):
        assert torch.equal(one, old) is (number != 2)
    moved = (model[1].weight.detach() - before[2]).norm() / before[2].norm()
    assert float(moved) == pytest.approx(0.1)
