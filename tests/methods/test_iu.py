"""Influence unlearning: the step against the matrix inverted, and against retraining."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mu.checkpoints import Checkpoint, DataSpec, Spec, forget_split
from mu.data import load_data
from mu.data.forget_split import ForgetSplit
from mu.data.images import Images
from mu.evaluation.outputs import predict
from mu.fisher import inverse
from mu.methods import iu, make_method
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from tests.fisher import slow
from tests.helpers import bits, make_dataset, mostly_slow, random_mask
from tests.helpers import make_recipe as small_recipe
from tests.methods.networks import LINEAR, RESIDUAL
from tests.training.networks import PLAIN

DATASET = make_dataset(train=40, test=9, classes=3, size=6)
SEED = 5
SMALL = {"fisher_samples": 40}  # of the contract tests


def original_of(dataset, arch, kept=1.0, names=()):
    recipe = small_recipe(dataset, arch=arch)
    model = recipe.model.build(0).double().eval()
    mask = random_mask(model, names, kept=kept)
    mask.apply(model)
    return Checkpoint(model, mask, Spec(DataSpec.of(dataset), recipe))


@pytest.fixture(scope="module", params=[1.0, 0.3], ids=["dense", "sparse"])
def original(request):
    return original_of(DATASET, PLAIN, request.param, ["conv.weight", "hidden.weight"])


def unlearned(original, split, run=None, **settings):
    checkpoint = copy.deepcopy(original)
    method = make_method("iu", {"alpha": 1.0, **settings})
    method.unlearn(checkpoint, split, run or Run(device="cpu", seed=SEED))
    return checkpoint


def moved(found, original):
    return slow.weights(found.model, found.mask) - slow.weights(original.model, original.mask)


def direction(original, split):
    """v: what leaving the forget set out, and sharing its weight out, does to the gradient."""
    forget, retain = (
        slow.loss_gradients(original.model, original.mask, part).sum(0)
        for part in (split.forget_set, split.retain_set)
    )
    total = len(split.forget) + len(split.retain)
    return forget / total - len(split.forget) / (total * len(split.retain)) * retain


def step(original, split, samples, damping):
    gradients = slow.loss_gradients(original.model, original.mask, samples)
    return torch.linalg.inv(slow.damped(gradients, damping)) @ direction(original, split)


# --- the formula --------------------------------------------------------------------------


@pytest.mark.parametrize("forget", ["random:7", "class:1", "random:1"])
@pytest.mark.parametrize("solver", ["woodbury", "auto"])
def test_the_step_is_the_formulas(original, forget, solver):
    split = forget_split(original, DATASET, forget)
    run = Run(device="cpu")
    found = unlearned(original, split, run, damping=0.05, solver=solver)
    expected = step(original, split, split.retain_set, 0.05)
    assert slow.error(moved(found, original), expected) < 1e-8
    assert run.metrics["alpha"] == 1
    assert run.notes == []
    assert run.samples_seen == 2 * len(split.retain) + len(split.forget)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 40.0])
def test_alpha_multiplies_it(original, alpha):
    split = forget_split(original, DATASET, "random:7")
    whole = moved(unlearned(original, split), original)
    part = moved(unlearned(original, split, alpha=alpha), original)
    assert torch.allclose(part, alpha * whole, rtol=1e-8, atol=1e-12)


def test_conjugate_gradients_take_the_same_step(original):
    split = forget_split(original, DATASET, "random:7")
    run = Run(device="cpu")
    one = moved(unlearned(original, split, solver="woodbury"), original)
    other = moved(unlearned(original, split, run, solver="cg"), original)
    assert slow.error(other, one) < 1e-4
    assert run.notes == []


def test_the_information_may_be_of_some_retain_images(original):
    split = forget_split(original, DATASET, "random:7")
    some = split.retain_set.drawn(5, Run(seed=SEED).generator("Fisher samples"))
    found = moved(unlearned(original, split, fisher_samples=5), original)
    assert slow.error(found, step(original, split, some, 0.1)) < 1e-8


def test_pruned_weights_stay_zero_and_statistics_as_they_are(original):
    split = forget_split(original, DATASET, "random:7")
    found = unlearned(original, split)
    for name in original.mask:
        assert not bits(found.model.get_parameter(name)[~original.mask[name]]).any()
    for one, other in zip(found.model.buffers(), original.model.buffers(), strict=True):
        assert torch.equal(one, other)


# --- the solver ---------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch):
    """Which solvers are called, and with how many gradients at a time."""
    found = []

    def woodbury(samples, vector, damping, rows):
        found.append(("woodbury", rows))
        return vector

    def cg(samples, vector, damping, *, steps):
        found.append(("cg", steps))
        return vector

    monkeypatch.setattr(inverse, "woodbury", woodbury)
    monkeypatch.setattr(inverse, "conjugate_gradients", cg)
    return found


@pytest.mark.parametrize(
    ("solver", "gradients", "expected"),
    [
        ("auto", 1000, ("woodbury", 29)),
        ("auto", 12, ("woodbury", 10)),
        ("auto", 0, ("woodbury", 1)),
        ("woodbury", 0, ("woodbury", 1)),
        ("cg", 1000, ("cg", 100)),
    ],
)
def test_the_solver_goes_by_the_free_memory(called, monkeypatch, solver, gradients, expected):
    original = original_of(DATASET, PLAIN)
    split = forget_split(original, DATASET, "random:7")
    one = 8 * len(slow.weights(original.model, original.mask))
    monkeypatch.setattr(inverse, "free_bytes", lambda _device: 2 * one * gradients)
    unlearned(original, split, solver=solver, chunk_size=1)
    assert called == [expected]


def test_conjugate_gradients_take_over_where_woodbury_would_take_more_passes(called, monkeypatch):
    original = original_of(DATASET, PLAIN)
    split = forget_split(original, DATASET, "random:7")
    monkeypatch.setattr(inverse, "free_bytes", lambda _device: 0)
    for steps, expected in ((15, "woodbury"), (14, "cg")):  # 29 samples one by one: 14.5 passes
        monkeypatch.setattr(iu, "CG_STEPS", steps)
        unlearned(original, split, chunk_size=1)
        assert called.pop()[0] == expected


def test_little_memory_changes_nothing_but_the_time(original, monkeypatch):
    split = forget_split(original, DATASET, "random:7")
    much = moved(unlearned(original, split), original)
    monkeypatch.setattr(inverse, "free_bytes", lambda _device: 0)
    assert slow.error(moved(unlearned(original, split, chunk_size=4), original), much) < 1e-10


# --- against retraining -------------------------------------------------------------------


def at_the_minimum(original, data):
    """The same network, trained on ``data`` until nothing is left to gain."""
    trained = copy.deepcopy(original)
    pairs = slow.samples(data, trained.model)
    images, labels = torch.cat([image for image, _ in pairs]), data.labels
    solver = torch.optim.LBFGS(
        trained.model.parameters(),
        max_iter=500,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-10,
        tolerance_change=0,
    )

    def loss():
        solver.zero_grad()
        value = F.cross_entropy(trained.model(images), labels)
        value.backward()
        return value

    solver.step(loss)
    gradients = slow.loss_gradients(trained.model, trained.mask, data)
    assert gradients.mean(0).norm() < 1e-6
    return trained


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("forget", [1, 6])
def test_on_softmax_regression_it_leads_to_the_retrained_network(seed, forget):
    """Labels are drawn at random, so that there is a minimum."""
    dataset = make_dataset(train=200, test=9, classes=3, size=2, seed=seed)
    labels = np.random.default_rng(seed).integers(0, 3, 200)
    dataset = replace(dataset, train=Images(dataset.train.pixels, torch.from_numpy(labels)))
    everything = np.arange(200)
    split = ForgetSplit(dataset, everything[:forget], everything[forget:], everything[:0])
    fresh = original_of(dataset, LINEAR)
    original = at_the_minimum(fresh, dataset.training_subset(everything))
    retrained = at_the_minimum(fresh, split.retain_set)

    needed = moved(retrained, original)
    settings = {"damping": 1e-4, "fisher_samples": 1000}
    gaps = {
        alpha: slow.error(
            moved(unlearned(original, split, alpha=alpha, **settings), original), needed
        )
        for alpha in (0.0, 0.5, 1.0)
    }
    assert gaps[0.0] == 1
    assert gaps[1.0] < 0.35
    assert gaps[1.0] < gaps[0.5] < gaps[0.0]


# --- the rule -----------------------------------------------------------------------------

DIGITS = load_data("digits")


def wanted(original, split):
    """For each image to forget, how sure the original is of validation images of its class."""
    unseen = predict(original.model, split.val_set, Run(device="cpu"))
    sure = unseen.confidence()
    means = [
        float(sure[unseen.labels == label].mean()) if label in unseen.labels else 0.0
        for label in split.forget_set.labels
    ]
    return 100 * np.mean(means)


@pytest.mark.parametrize("forget", mostly_slow(["class:3", "random:10%"], "class:3"))
def test_by_default_it_goes_until_the_forget_set_is_as_unseen(forget):
    fitted = train_original(
        DIGITS, make_recipe(DIGITS, arch=RESIDUAL, rate=0.8, epochs=12, train_size=150), Run()
    )
    split = forget_split(fitted, DIGITS, forget)
    run, found = Run(device="cpu"), copy.deepcopy(fitted)
    make_method("iu", {"max_accuracy_drop": 10.0}).unlearn(found, split, run)
    outputs = predict(found.model, split.forget_set, Run(device="cpu"))
    whole = split.forgotten_classes
    known = outputs.accuracy() if whole else 100 * float(outputs.confidence().mean())
    before, after = (
        predict(one.model, split.retain_set, Run(device="cpu")).accuracy()
        for one in (fitted, found)
    )
    assert before > 95
    assert after >= before - 10
    assert run.notes or known <= wanted(fitted, split)
    assert run.metrics["excess"] == pytest.approx(known - wanted(fitted, split), abs=1e-6)
    assert run.metrics["alpha"] > 0
    again = copy.deepcopy(fitted)
    make_method("iu", {"alpha": run.metrics["alpha"]}).unlearn(again, split, Run(device="cpu"))
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_forget_set_without_a_gradient_moves_nothing():
    """A network that gives every class the same, whatever it sees, on as many of each."""
    original = original_of(DATASET, LINEAR)
    for parameter in original.model.parameters():
        parameter.data.zero_()
    labels = DATASET.train.labels.numpy()
    twins = Images(torch.zeros_like(DATASET.train.pixels), DATASET.train.labels)
    parts = [np.flatnonzero(labels == label)[:2] for label in range(3)]
    split = ForgetSplit(
        replace(DATASET, train=twins),
        np.array([part[0] for part in parts]),
        np.array([part[1] for part in parts]),
        np.array([], np.int64),
    )
    found = unlearned(original, split)
    assert not moved(found, original).any()
