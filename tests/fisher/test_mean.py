"""The gradient of the mean loss, against autograd of the mean loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mu.fisher import mean
from mu.fisher.free import FreeWeights
from mu.fisher.mean import mean_gradient
from mu.runs import Run
from tests.fisher import slow
from tests.helpers import make_dataset, prunable, random_mask
from tests.pruning.networks import Net, smooth_net

DATASET = make_dataset(train=13, test=3, classes=3, size=4)
DATA = DATASET.training_subset(np.arange(13))


def by_hand(model, mask):
    model.eval()
    logits = torch.cat([model(image) for image, _ in slow.samples(DATA, model)])
    loss = F.cross_entropy(logits, DATA.labels)
    return slow.kept(model, mask, slow.gradient(model, loss))


@pytest.mark.parametrize("kept", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("batch_size", [128, 4])
@pytest.mark.parametrize("network", [smooth_net, Net])
def test_it_is_the_gradient_of_the_mean_loss(kept, batch_size, network, monkeypatch):
    monkeypatch.setattr(mean, "BATCH_SIZE", batch_size)
    model = network().double()
    mask = random_mask(model, prunable(model), kept=kept)
    mask.apply(model)
    run = Run(device="cpu")
    found = mean_gradient(model, FreeWeights(model, mask), DATA, run)
    assert slow.error(found, by_hand(model, mask)) < 1e-10
    assert run.samples_seen == len(DATA)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training):
    model = Net().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mean_gradient(
        model, FreeWeights(model, random_mask(model, [], kept=1)), DATA, Run(device="cpu")
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training is training
    assert all(one.grad is None and one.requires_grad for one in model.parameters())


def test_parameters_that_are_not_trained_have_a_gradient_too():
    model, mask = smooth_net().double(), random_mask(smooth_net(), [], kept=1)
    expected = by_hand(model, mask)
    model[0].requires_grad_(False)
    found = mean_gradient(model, FreeWeights(model, mask), DATA, Run(device="cpu"))
    assert slow.error(found, expected) < 1e-10
    assert not any(one.requires_grad for one in model[0].parameters())
    assert all(one.requires_grad for one in model[6].parameters())


def test_a_parameter_that_is_not_used_has_no_gradient():
    model = smooth_net().double()
    model.register_parameter("idle", torch.nn.Parameter(torch.ones(2, dtype=torch.float64)))
    mask = random_mask(model, [], kept=1)
    free = FreeWeights(model, mask)
    found = mean_gradient(model, free, DATA, Run(device="cpu"))
    assert slow.error(found, by_hand(model, mask)) < 1e-10
    assert free.size == slow.weights(model, mask).numel()
