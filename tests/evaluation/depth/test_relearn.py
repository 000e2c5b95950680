"""Relearn time against looking at the whole forget set after every step."""

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mu.checkpoints import forget_split
from mu.data.batches import Batches
from mu.evaluation.depth import relearn
from mu.evaluation.depth.relearn import MOST_STEPS, RATES, Relearning, layer_norms
from mu.evaluation.outputs import predict
from mu.runs import Run
from tests.helpers import as_arrays, bits, make_checkpoint, make_dataset, mostly_slow
from tests.methods.networks import RESIDUAL

DATA = make_dataset(train=90)
SETTINGS = {"lr": 0.02, "batch_size": 7}


def case(forget="class:1", seed=3, kept=0.3, arch=RESIDUAL):
    checkpoint = make_checkpoint(DATA, seed=seed, kept=kept, arch=arch)
    return checkpoint, forget_split(checkpoint, DATA, forget)


def relearn_steps(
    checkpoint, split, run, *, target_accuracy, batch_size, lr=RATES[0], most=MOST_STEPS, norms=None
):
    how = Relearning(split, run, target_accuracy, batch_size, norms or {})
    return how.steps(checkpoint, lr, most)


def course(checkpoint, split, steps, *, lr=0.02, batch_size=7, seed=0):
    """The accuracy before and after each step, by plain arithmetic, and the last model."""
    model, run = copy.deepcopy(checkpoint.model).eval(), Run(device="cpu", seed=seed)
    kept = as_arrays(checkpoint.mask)
    batches = Batches(split.forget_set, batch_size, torch.device("cpu"))
    found, epoch = [predict(model, split.forget_set, run).accuracy()], 0
    while True:
        for images, labels in batches.shuffled(run.generator(f"relearning, epoch {epoch}")):
            if len(found) > steps:
                return found, model
            model.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter -= lr * parameter.grad
                    if name in kept:
                        parameter[~torch.from_numpy(kept[name])] = 0.0
            found.append(predict(model, split.forget_set, run).accuracy())
        epoch += 1


def first(accuracies, target):
    return next((step for step, value in enumerate(accuracies) if value >= target), None)


CASES = [(*case, seed) for case in (("class:1", 0.006), ("random:10%", 0.3)) for seed in (0, 5)]


@pytest.mark.parametrize(("forget", "lr", "seed"), mostly_slow(CASES, CASES[0], CASES[3]))
def test_the_first_step_that_is_good_enough(forget, lr, seed, monkeypatch):
    """At a small rate the accuracy climbs; at a large one it goes up and down."""
    monkeypatch.setattr(relearn, "CHECK_BATCH", 4)  # so that looking stops early
    checkpoint, split = case(forget)
    accuracies, _ = course(checkpoint, split, 30, lr=lr, seed=seed)
    targets = (0, 20, 60, 75, 90, 95, 100)
    assert len({first(accuracies, target) for target in targets}) >= 3
    for target in targets:
        found = relearn_steps(
            checkpoint, split, Run(device="cpu", seed=seed),
            target_accuracy=target, lr=lr, batch_size=7, most=30,
        )  # fmt: skip
        assert found == first(accuracies, target), target


def test_a_target_that_is_just_met_is_met():
    checkpoint, split = case()
    accuracies, _ = course(checkpoint, split, 30, lr=0.006)
    steps = sorted({first(accuracies, value) for value in accuracies})
    assert len(steps) > 3
    for step in steps:  # 23 of 27 samples and the like, which no float is exactly
        found = relearn_steps(
            checkpoint, split, Run(device="cpu"),
            target_accuracy=accuracies[step], lr=0.006, batch_size=7, most=30,
        )  # fmt: skip
        assert found == step


def test_gives_up_after_the_most_steps():
    checkpoint, split = case()
    accuracies, _ = course(checkpoint, split, 40)
    step = first(accuracies, 95)
    assert step is not None
    assert step > 2

    def of(most):
        return relearn_steps(
            checkpoint, split, Run(device="cpu"), target_accuracy=95, most=most, **SETTINGS
        )  # fmt: skip

    assert of(step + 1) == step
    assert of(step) is None
    assert of(0) is None


def test_a_loss_that_is_no_number_is_never_good_enough():
    checkpoint, split = case()
    steps = relearn_steps(
        checkpoint, split, Run(device="cpu"), target_accuracy=100, lr=1e30, batch_size=7, most=5
    )
    assert steps is None


def test_the_model_given_is_left_as_it_is():
    checkpoint, split = case()
    checkpoint.model.train()
    before = {name: bits(one).copy() for name, one in checkpoint.model.state_dict().items()}
    relearn_steps(checkpoint, split, Run(device="cpu"), target_accuracy=100, most=5, **SETTINGS)
    for name, one in checkpoint.model.state_dict().items():
        assert np.array_equal(bits(one), before[name])
    assert checkpoint.model.training
    assert all(one.grad is None for one in checkpoint.model.parameters())


def test_pruned_weights_stay_zero_and_statistics_as_they_are(monkeypatch):
    checkpoint, split = case()
    seen = []
    right = relearn._errs_at_most

    def spy(model, *rest):
        seen.append(copy.deepcopy(model))
        return right(model, *rest)

    monkeypatch.setattr(relearn, "_errs_at_most", spy)
    relearn_steps(checkpoint, split, Run(device="cpu"), target_accuracy=100, most=6, **SETTINGS)
    assert len(seen) > 3
    _, expected = course(checkpoint, split, len(seen) - 1)
    theirs = dict(expected.named_parameters())
    for model in seen:
        for name, parameter in model.named_parameters():
            if name in checkpoint.mask:
                assert (parameter[~checkpoint.mask[name]] == 0).all()
        for (name, one), other in zip(
            model.named_buffers(), checkpoint.model.buffers(), strict=True
        ):
            assert torch.equal(one, other), name
    for name, parameter in seen[-1].named_parameters():
        torch.testing.assert_close(parameter, theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("target", [-1, 100.5, float("nan")])
def test_refuses_an_accuracy_that_is_none(target):
    checkpoint, split = case()
    with pytest.raises(ValueError, match="target_accuracy"):
        relearn_steps(checkpoint, split, Run(device="cpu"), target_accuracy=target, **SETTINGS)


def with_row(checkpoint, label, value, bias):
    """A copy whose row of the head for a class is set."""
    found = copy.deepcopy(checkpoint)
    head = [one for one in found.model.modules() if isinstance(one, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.weight[label], head.bias[label] = value, bias
    return found, head


ASKED = {"target_accuracy": 95, "batch_size": 7}
SOON = {"lr": 0.05, "most": 40}


def test_the_quicker_of_two_ways_counts():
    checkpoint, split = case()
    run = Run(device="cpu")
    checkpoint, head = with_row(checkpoint, 0, 0.0, 1.0)  # what else is predicted
    anew, _ = with_row(checkpoint, 1, 0.0, head.bias[[0, 2]].mean().item())
    far, _ = with_row(checkpoint, 1, 0.0, -1e4)
    near, _ = with_row(checkpoint, 1, 0.0, 0.9)
    fresh = relearn_steps(anew, split, run, **ASKED, **SOON)
    assert 0 < relearn_steps(near, split, run, **ASKED, **SOON) < fresh
    for one in (checkpoint, anew, far, near):
        plain = relearn_steps(one, split, run, **ASKED, **SOON)
        least = min(step for step in (plain, fresh) if step is not None)
        assert Relearning(split, run, **ASKED).quickest(one, **SOON) == least


def test_of_random_samples_there_is_one_way():
    checkpoint, split = case("random:10%")
    run = Run(device="cpu")
    settings = {"lr": 0.3, "most": 40}
    accuracies, _ = course(checkpoint, split, 39, lr=0.3)
    asked = {**ASKED, "target_accuracy": max(accuracies)}
    found = Relearning(split, run, **asked).quickest(checkpoint, **settings)
    assert found == relearn_steps(checkpoint, split, run, **asked, **settings)
    assert found == first(accuracies, max(accuracies)) > 0


def rescaled(checkpoint, factor):
    """Weights in front of each normalisation so many times as large, its statistics as they follow.

    What comes out is the same, but for the small number that normalisation adds to the variance.
    """
    found = copy.deepcopy(checkpoint)
    layers = [one for one in found.model.modules() if not list(one.children())]
    scaled = 0
    with torch.no_grad():
        for layer, norm in itertools.pairwise(layers):
            if isinstance(layer, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                layer.weight *= factor
                norm.running_mean *= factor
                norm.running_var *= factor**2
                scaled += 1
    assert scaled
    return found


def test_a_scale_that_changes_no_output_changes_no_number_of_steps():
    checkpoint, split = case(arch="resnet_mini")  # most of whose steps are below the head
    run = Run(device="cpu")
    norms = layer_norms(checkpoint.model)
    settings = {"target_accuracy": 90, "batch_size": 27, "lr": 0.01}
    plain = relearn_steps(checkpoint, split, run, **settings)
    assert plain > 3
    for factor in (3.0, 0.3):
        other = rescaled(checkpoint, factor)
        outputs = [predict(one.model, split.retain_set, run).logits for one in (checkpoint, other)]
        torch.testing.assert_close(*outputs, rtol=0.02, atol=0.02)
        assert relearn_steps(other, split, run, norms=norms, **settings) == plain
    # With one rate for all, weights of a third of the size come back sooner.
    assert relearn_steps(other, split, run, **settings) < plain


def test_the_norm_of_a_layer_is_of_its_weights_and_of_vectors_where_it_has_no_others():
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    with torch.no_grad():
        for parameter, values in zip(
            model.parameters(), ([[3.0, 4.0]], [9.0], [0.6], [0.8]), strict=True
        ):
            parameter.copy_(torch.tensor(values))
    assert layer_norms(model) == pytest.approx({"0": 5.0, "1": 1.0})


def test_a_layer_that_is_zero_or_of_which_nothing_is_known_has_the_rate_itself():
    model = torch.nn.Sequential(*(torch.nn.Linear(1, 1, bias=False) for _ in range(4)))
    with torch.no_grad():
        for layer, value in zip(model, (6.0, 0.0, 6.0, 6.0), strict=True):
            layer.weight.fill_(value)
    _, split = case()
    how = Relearning(split, Run(device="cpu"), 95, 7, {"0": 3.0, "1": 3.0, "2": 0.0})
    assert [one["lr"] for one in how._rates(model, 0.1)] == pytest.approx([0.4, 0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([12], (12, 0)),  # enough
        ([3, 14], (14, 1)),
        ([1, 3, 16], (16, 2)),
        ([1, 1, 1, 4], (4, 3)),  # it all but knows the samples
        ([0], (0, 0)),  # it does
        ([None], (None, 0)),
        ([9, None], (None, 1)),
    ],
)
def test_steps_become_smaller_until_an_oracle_takes_ten(counts, expected, monkeypatch):
    checkpoint, split = case()
    left = iter(counts)
    monkeypatch.setattr(Relearning, "quickest", lambda *_: next(left))
    found = Relearning(split, Run(device="cpu"), 95, 7).fine(checkpoint)
    assert found == (expected[0], RATES[expected[1]])
    assert next(left, "none") == "none"
