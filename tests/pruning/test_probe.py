"""The samples that are looked at, and the loss of the masked network on them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.pruning.scoring import probe as probes
from mu.pruning.scoring.probe import Hardsigmoid, Probe, balanced
from tests.helpers import laws, make_dataset
from tests.pruning.networks import (
    DATA,
    Net,
    all_images,
    context,
    dense,
    exact,
    half,
    smooth_net,
)

# --- samples ------------------------------------------------------------------------------


def subset(labels, indices=None):
    data = make_dataset(labels, classes=6, size=2)
    return data.training_subset(np.arange(len(labels)) if indices is None else indices)


LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=30)


@laws(100)
@given(labels=LABELS, count=st.integers(1, 40), seed=st.integers(0, 9), data=st.data())
def test_the_classes_take_turns_as_far_as_there_are_samples(labels, count, seed, data):
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    draws = torch.Generator().manual_seed(seed)

    chosen = balanced(subset(labels, order), count, draws)

    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(labels))
    found = np.array(labels)[order][chosen]
    counts, there = np.bincount(found, minlength=6), np.bincount(labels, minlength=6)
    for one in range(6):  # a class with fewer than another has no more, or one turn is not over
        assert all(counts[one] == there[one] or counts[one] >= counts[b] - 1 for b in range(6))
    turns = [found[:place].tolist().count(label) for place, label in enumerate(found)]
    assert turns == sorted(turns)


def test_another_seed_draws_other_samples_each_as_often():
    labels = [0] * 10 + [1] * 5
    counts = np.zeros(15)
    for seed in range(400):
        counts[balanced(subset(labels), 4, torch.Generator().manual_seed(seed))] += 1

    assert abs(counts[:10] - 80).max() < 40  # 2 of 10 each, within five deviations
    assert abs(counts[10:] - 160).max() < 50


# --- loss ---------------------------------------------------------------------------------


@torch.no_grad()
def whole_loss(model, mask, data=DATA, temperature=1.0):
    """The mean cross-entropy of the samples one by one, in float64."""
    images, labels = all_images(data)
    logits = exact(model, mask)(images) / temperature
    rows = zip(logits.log_softmax(1), labels, strict=True)
    return -torch.stack([row[label] for row, label in rows]).mean()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_mean_over_all_samples_of_the_masked_network(temperature):
    model = Net()
    mask = half(model)
    probe = Probe(model, mask, context(), len(DATA), temperature)

    loss = sum(float(part.detach()) for part in probe.losses())

    assert loss == pytest.approx(float(whole_loss(model, mask, temperature=temperature)), rel=1e-5)


@pytest.mark.parametrize("size", [1, 4, 7, 18])
def test_batches_add_up_to_the_whole(monkeypatch, size):
    """Without normalisation by batch, in which each batch has statistics of its own."""
    monkeypatch.setattr(probes, "BATCH_SIZE", size)
    model = smooth_net()
    model[1] = nn.Identity()
    mask = half(model)
    probe = Probe(model, mask, context(), len(DATA))

    losses = [float(part.detach()) for part in probe.losses()]

    assert len(losses) == {1: 9, 4: 5, 7: 3, 18: 1}[size]  # never batches of one
    assert sum(losses) == pytest.approx(float(whole_loss(model, mask)), rel=1e-5)
    gradient = probe.gradient(list(mask))
    twin = exact(model, mask)
    images, labels = all_images()
    F.cross_entropy(twin(images), labels).backward()
    for name in mask:
        expected = twin.get_parameter(name).grad
        torch.testing.assert_close(gradient[name].double(), expected, rtol=1e-4, atol=1e-7)


def test_a_parameter_that_the_loss_does_not_depend_on_has_no_gradient():
    model = Net()
    model.unused = nn.Parameter(torch.ones(3))

    gradient = Probe(model, dense(model), context(), 9).gradient(["unused", "conv1.weight"])

    assert gradient["unused"].tolist() == [0, 0, 0]
    assert gradient["conv1.weight"].any()


def test_fewer_samples_are_looked_at_where_fewer_are_asked_for():
    seen = []
    model = Net()
    everything = dense(model)
    model.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))

    for _ in Probe(model, everything, context(), 7).losses():
        pass

    assert sum(seen) == 7


def test_hardsigmoid_is_torchs_with_a_second_derivative():
    signal = torch.linspace(-5, 5, 101, dtype=torch.float64).add(1e-3).requires_grad_()

    torch.testing.assert_close(Hardsigmoid()(signal), F.hardsigmoid(signal))
    slopes = [torch.autograd.grad(f(signal).sum(), signal) for f in (Hardsigmoid(), F.hardsigmoid)]
    torch.testing.assert_close(*slopes)
    assert torch.autograd.gradgradcheck(Hardsigmoid(), signal)
