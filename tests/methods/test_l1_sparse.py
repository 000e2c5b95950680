"""l1_sparse: the penalty and its decay against the formula, and the rule for alpha."""

import copy

import pytest
import torch

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.methods import make_method
from mu.methods.l1_sparse import decay, l1_norm, total_pull
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from mu.training import Training, learning_rate_factor

DATA = load_data("digits")
SMALL = {"epochs": 16}  # of the contract tests: fewer are too short to learn back
BLIND = ("forget",)


@pytest.fixture(scope="module")
def original():
    return train_original(DATA, make_recipe(DATA, rate=0.8, epochs=2, train_size=100), Run())


def test_the_penalty_is_on_prunable_kept_weights_only(original):
    """Its gradient is alpha times the sign there, and nothing anywhere else."""
    model = copy.deepcopy(original.model)
    parameters = dict(model.named_parameters())
    norm = l1_norm([parameters[name] for name in original.mask])
    slow = sum(
        abs(float(weight))
        for name in original.mask
        for weight in parameters[name].detach()[original.mask[name]]
    )
    assert float(norm.detach()) == pytest.approx(slow, rel=1e-5)
    (0.3 * norm).backward()
    for name, parameter in parameters.items():
        if name not in original.mask:
            assert parameter.grad is None
            continue
        assert torch.equal(parameter.grad, 0.3 * parameter.detach().sign())
        assert not parameter.grad[~original.mask[name]].any()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_total_pull_is_how_far_the_penalty_alone_moves_a_weight(schedule, momentum):
    """Simulated step by step; the rule sums whole epochs and lets momentum act at once."""
    training = Training(
        epochs=10, lr=0.01, batch_size=8, momentum=momentum, weight_decay=0.0, schedule=schedule
    )
    samples, weight, velocity = 200, 100.0, 0.0
    steps = samples // training.batch_size
    for step in range(training.epochs * steps):
        epoch = step // steps
        rate = training.lr * learning_rate_factor(schedule, step / steps, training.epochs)
        velocity = momentum * velocity + decay(epoch, training.epochs)
        weight -= rate * velocity
    assert total_pull(training, samples) == pytest.approx(100.0 - weight, rel=0.1)


def test_the_rule_gives_the_alpha_that_shrink_asks_for(original):
    split = forget_split(original, DATA, "class:4")
    settings = {"epochs": 2, "lr": 0.01, "schedule": "constant", "l1_strength": 0.5}
    run = Run()
    method = make_method("l1_sparse", settings)
    method.unlearn(copy.deepcopy(original), split, run)
    mask, recipe = original.mask, original.spec.recipe
    fresh = dict(recipe.model.build(recipe.seed).named_parameters())
    trained = dict(original.model.named_parameters())
    drawn = torch.cat([fresh[name].detach().abs().flatten() for name in mask]).mean()
    kept = torch.cat([trained[name].detach()[mask[name]].abs() for name in mask]).mean()
    pull = total_pull(method.training(recipe.training), len(split.retain))
    expected = 0.5 * float((drawn * kept) ** 0.5)
    assert run.metrics["alpha"] * pull == pytest.approx(expected, rel=1e-5)
