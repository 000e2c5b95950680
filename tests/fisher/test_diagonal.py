"""The diagonal Fisher information, against a loop over samples and classes."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from mu.fisher import LABELS
from mu.fisher.diagonal import _weights, diagonal
from mu.runs import Run
from tests.fisher import slow
from tests.fisher.networks import (
    CHANNELS,
    CLASSES,
    SIZE,
    OneDimensional,
    Positions,
    SharedGradient,
    Tokens,
    convolutions,
    settled,
)
from tests.helpers import make_dataset
from tests.pruning.networks import DATA as GREY
from tests.pruning.networks import vision_transformer

DATASET = make_dataset(train=11, test=3, classes=CLASSES, size=SIZE, channels=CHANNELS)
DATA = DATASET.training_subset(np.arange(11))
LINEAR_DATA = GREY.__class__(GREY.images, GREY.indices[:6], GREY.mean, GREY.std)


def make(network):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return settled(network())


def linear(scale=1.0, kind=torch.float64):
    """Softmax regression on 4x4 images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.init.normal_(model[1].weight, std=0.1 * scale, generator=torch.Generator().manual_seed(0))
    return model.to(kind)


def find(model, data=DATA, seed=0, **settings):
    return diagonal(model, data, Run(device="cpu", seed=seed), **settings)


def flat(tensors):
    return torch.cat([one.flatten() for one in tensors])


@pytest.mark.parametrize(
    "network", [convolutions, Tokens, OneDimensional, SharedGradient, Positions]
)
def test_exact_is_the_expectation_over_all_classes_of_each_samples_square(network):
    model = make(network)
    before = copy.deepcopy(model.state_dict())
    found = find(model, chunk_size=4)
    for one, right, parameter in zip(
        found, slow.diagonal(model, DATA), model.parameters(), strict=True
    ):
        assert one.shape == parameter.shape
        assert torch.allclose(one, right, rtol=1e-10, atol=1e-18)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_exact_weights_make_up_the_covariance_of_a_label(classes, scale):
    logits = scale * torch.randn(
        7, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    parts = list(_weights(logits, "exact", torch.Generator()))
    likely = logits.softmax(1)
    expected = torch.diag_embed(likely) - likely[:, :, None] * likely[:, None]
    found = sum((part[:, :, None] * part[:, None] for part in parts), torch.zeros_like(expected))
    assert len(parts) == classes - 1
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_exact_keeps_its_digits_where_a_network_is_sure():
    logits = torch.tensor([[60.0, 0.0, 1.0]], dtype=torch.float64)
    second, third = math.exp(1 - 60), math.exp(-60)
    first, last = _weights(logits, "exact", torch.Generator())
    assert float(first[0, 0]) ** 2 == pytest.approx(second + third, rel=1e-12)
    assert float(last[0, 2]) ** 2 == pytest.approx(second * third / (second + third), rel=1e-12)


def test_a_transformer_whose_embeddings_gradients_share_their_memory():
    model = settled(vision_transformer())
    found, expected = find(model, GREY), slow.diagonal(model, GREY)
    for (name, _), one, right in zip(model.named_parameters(), found, expected, strict=True):
        assert slow.error(one, right) < 1e-10, name


def test_each_image_is_looked_at_once():
    run = Run(device="cpu")
    diagonal(make(Tokens), DATA, run, labels="drawn", chunk_size=4)
    assert run.samples_seen == len(DATA)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("network", [convolutions, Positions])
def test_the_chunks_size_does_not_matter(network, labels):
    model = make(network)
    whole = flat(find(model, labels=labels, chunk_size=64))
    for size in (1, 3, 10):
        assert slow.error(flat(find(model, labels=labels, chunk_size=size)), whole) < 1e-12


@pytest.mark.parametrize("labels", ["signs", "drawn"])
def test_the_same_seed_draws_the_same(labels):
    model = make(convolutions)
    one, same, other = (flat(find(model, labels=labels, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_of_one_image_a_label_is_drawn_with_the_networks_own_probability():
    model, data = linear(20.0), GREY.__class__(GREY.images, GREY.indices[4:5], GREY.mean, GREY.std)
    ((image, _),) = slow.samples(data, model)
    likely = model(image).detach().softmax(1)[0]
    possible = torch.stack([flat(slow.squares(model, image, label)) for label in range(3)])
    counts, draws = torch.zeros(3), 400
    for seed in range(draws):
        found = flat(find(model, data, seed, labels="drawn"))
        (label,) = [label for label in range(3) if slow.error(found, possible[label]) < 1e-10]
        counts[label] += 1
    deviations = (likely * (1 - likely) / draws).sqrt()
    assert likely.min() > 0.01
    assert ((counts / draws - likely).abs() < 4 * deviations).all()


@pytest.mark.parametrize("labels", ["signs", "drawn"])
def test_estimates_are_exact_on_average(labels):
    model = linear()
    draws = torch.stack(
        [flat(find(model, LINEAR_DATA, seed, labels=labels)) for seed in range(400)]
    )
    exact = flat(slow.diagonal(model, LINEAR_DATA))
    deviations = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact).abs() < 4.5 * deviations).all()
    assert slow.error(draws.mean(0), exact) < 0.03
    assert slow.error(draws[0], exact) > 0.1  # one draw alone is no more than an estimate


def test_with_signs_each_sample_squares_the_signed_sum_over_its_classes():
    """Of one image and three classes only the four relative signs matter; all are met."""
    model, data = linear(5.0), GREY.__class__(GREY.images, GREY.indices[:1], GREY.mean, GREY.std)
    ((image, _),) = slow.samples(data, model)
    parameters = list(model.parameters())
    scores = model(image).log_softmax(1)[0]
    terms = [
        scores[label].detach().exp().sqrt()
        * flat(torch.autograd.grad(scores[label], parameters, retain_graph=True))
        for label in range(3)
    ]
    possible = [
        (terms[0] + one * terms[1] + two * terms[2]) ** 2 for one in (1, -1) for two in (1, -1)
    ]
    met = set()
    for seed in range(40):
        found = flat(find(model, data, seed, labels="signs"))
        (place,) = [n for n, value in enumerate(possible) if slow.error(found, value) < 1e-10]
        met.add(place)
    assert met == {0, 1, 2, 3}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e20, 1e30])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_of_a_network_that_is_quite_sure_everything_is_a_number(labels, scale, kind):
    found = flat(find(linear(scale, kind), GREY, labels=labels))
    assert found.isfinite().all()
    assert (found >= 0).all()


def test_single_precision_is_enough_for_a_sure_network():
    model = linear(30.0)
    exact = flat(slow.diagonal(model, GREY))
    found = flat(find(linear(30.0, torch.float32), GREY))
    assert slow.error(found.double(), exact) < 1e-4
