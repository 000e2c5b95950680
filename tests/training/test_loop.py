"""The loop against a slow, obvious one, and the laws of masks, seeds and schedules in it."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mu.data import load_data
from mu.data.images import Subset
from mu.masks import Mask
from mu.runs import Run, generator
from mu.training import DivergedError, Training, learning_rate_factor, train

SAMPLES = 50


@pytest.fixture(scope="module")
def data():
    return load_data("digits").training_subset(np.arange(100, 100 + SAMPLES))


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 64, 10)
    )


def random_mask(model, seed=1):
    draws = torch.Generator().manual_seed(seed)
    names = ["0.weight", "3.weight"]
    parameters = dict(model.named_parameters())
    return Mask({n: torch.rand(parameters[n].shape, generator=draws) < 0.4 for n in names})


def settings(**changes):
    defaults = {"epochs": 3, "lr": 0.05, "batch_size": 16, "schedule": "cosine", "augment": "none"}
    return Training(**{**defaults, **changes})


def slow_training(model, data: Subset, training, mask, penalty, seed):
    """Heavy-ball descent written out, one sample and one parameter at a time."""
    images = data.images.pixels[torch.from_numpy(data.indices)].float() / 255
    images = (images - data.mean[0]) / data.std[0]
    labels = data.labels
    velocity = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for epoch in range(training.epochs):
        draws = generator(seed, f"order of epoch {epoch}")
        order = torch.randperm(len(labels), generator=draws)
        batches = np.array_split(order, -(-len(order) // training.batch_size))
        for number, rows in enumerate(batches):
            moment = epoch + number / len(batches)
            rate = training.lr * learning_rate_factor(training.schedule, moment, training.epochs)
            loss = sum(
                F.cross_entropy(model(images[i][None]), labels[i][None]) for i in rows.tolist()
            ) / len(rows)
            if penalty is not None:
                loss = loss + penalty(model, epoch)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for (name, weight), gradient in zip(
                    model.named_parameters(), gradients, strict=True
                ):
                    keep = mask[name] if name in mask else torch.ones_like(weight).bool()
                    gradient = gradient * keep + training.weight_decay * weight
                    velocity[name] = training.momentum * velocity[name] + gradient
                    weight.copy_(torch.where(keep, weight - rate * velocity[name], 0.0))


@pytest.mark.parametrize("with_penalty", [False, True])
def test_loop_equals_a_slow_one(data, with_penalty):
    fast = network()
    mask = random_mask(fast)
    mask.apply(fast)
    slow = copy.deepcopy(fast)

    def penalty_of(model, epoch):
        return 0.01 * (epoch + 1) * dict(model.named_parameters())["0.weight"].abs().sum()

    train(
        fast,
        data,
        settings(),
        Run(seed=5),
        mask=mask,
        penalty=(lambda epoch: penalty_of(fast, epoch)) if with_penalty else None,
    )
    slow_training(slow, data, settings(), mask, penalty_of if with_penalty else None, seed=5)
    for name, weight in fast.named_parameters():
        assert torch.allclose(weight, dict(slow.named_parameters())[name], atol=2e-5), name


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_pruned_weights_stay_exactly_zero(data, schedule):
    model = network()
    mask = random_mask(model)
    train(model, data, settings(schedule=schedule, weight_decay=0.1), Run(), mask=mask)
    for name in mask:
        weight = dict(model.named_parameters())[name].detach()
        assert not weight[~mask[name]].any()
        assert weight[mask[name]].all()


def test_same_seed_same_weights_other_seed_other_weights(data):
    def trained(seed):
        model = network()
        train(model, data, settings(augment="crop_flip"), Run(seed=seed))
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(trained(3), trained(3))
    assert not torch.equal(trained(3), trained(4))


def test_a_schedule_can_be_run_in_parts(data):
    """Without momentum nothing but the weights connects two epochs."""
    plain = settings(momentum=0.0)
    whole, parts = network(), network()
    train(whole, data, plain, Run(seed=1))
    train(parts, data, plain, Run(seed=1), stop_epoch=2)
    train(parts, data, plain, Run(seed=1), start_epoch=2)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


def test_numbers_of_an_epoch_are_means_over_samples(data):
    """At a vanishing learning rate the epoch's numbers are those of the untrained model."""
    model = network()
    run = Run()
    train(model, data, settings(epochs=1, lr=1e-12), run, first_step=7)
    images = (data.images.pixels[torch.from_numpy(data.indices)].float() / 255 - data.mean[0]) / (
        data.std[0]
    )
    logits = model(images).detach()
    assert run.metrics["loss"] == pytest.approx(
        float(F.cross_entropy(logits, data.labels)), rel=1e-4
    )
    right = float((logits.argmax(1) == data.labels).float().mean())
    assert run.metrics["train_acc"] == pytest.approx(100 * right)
    assert run.history("loss")[0][0] == 7
    assert run.samples_seen == SAMPLES


def test_divergence_is_said(data):
    with pytest.raises(DivergedError, match="loss became nan in epoch"):
        train(network(), data, settings(lr=1e30, epochs=5), Run())


def test_the_data_is_not_changed(data):
    before = data.images.pixels.clone()
    train(network(), data, settings(augment="crop_flip"), Run())
    assert torch.equal(before, data.images.pixels)


def test_the_number_of_samples_need_not_fit_the_batch(data):
    """33 samples in batches of 16: no sample is left alone, and all are seen."""
    odd = Subset(data.images, data.indices[:33], data.mean, data.std)
    run = Run()
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    train(model, odd, settings(), run)
    assert run.samples_seen == 3 * 33
