"""Features: exactly what the head is given, in whichever batches, and the network as before."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.data.images import Subset
from mu.models import ModelSpec
from mu.models.head import features, find_head
from mu.runs import Run
from tests.helpers import laws, make_dataset, refused

DATASET = make_dataset(train=23, channels=3)
SEARCH = 2  # passes of two images, by which the head is found
EVERYTHING = DATASET.training_subset(np.arange(23))
EXACT = Run(device="cpu", precision="fp32")  # auto may be bf16 for a transformer


def build(arch, seed=0):
    """A network whose running statistics are not those of a fresh one."""
    model = ModelSpec.for_images(arch, "auto", 3, DATASET.shape).build(seed)
    with torch.no_grad():
        model.train()(DATASET.test.pixels.float() / 255)
    return model.eval()


@pytest.fixture(scope="module", params=["resnet_mini", "vit_tiny"])
def model(request):
    return build(request.param)


class Tiny(nn.Module):
    """Two linear layers, the last of which is the head; it can fail at a batch."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(5, 3)
        self.batches, self.fails_at = 0, fails_at

    def forward(self, images):
        self.batches += 1
        found = self.head(self.body(images))
        if self.batches == self.fails_at:
            raise RuntimeError("the device is lost")
        return found


def head_of(model):
    return find_head(model, torch.randn(2, *DATASET.shape))


def without_head(model):
    """A copy that gives what its head was given."""
    bare = copy.deepcopy(model)
    bare.set_submodule(head_of(bare).name, nn.Identity())
    return bare


def by_hand(model, subset):
    """One image after another, normalised with numpy."""
    bare = without_head(model).eval()
    rows = []
    for number in subset.indices:
        pixels = subset.images.pixels[number].numpy().astype(np.float64) / 255
        mean, std = (np.array(one)[:, None, None] for one in (subset.mean, subset.std))
        image = torch.from_numpy((pixels - mean) / std).float()[None]
        with torch.no_grad():
            rows.append(bare(image).flatten())
    return torch.stack(rows).double()


def hooks_of(model):
    return [hook for one in model.modules() for hook in one._forward_pre_hooks.values()]


def test_features_are_what_the_head_is_given(model):
    found = features(model, EVERYTHING, EXACT)

    assert found.dtype == torch.float64
    assert found.device.type == "cpu"
    assert not found.requires_grad
    assert found.shape == (23, head_of(model).module.in_features)
    torch.testing.assert_close(found, by_hand(model, EVERYTHING), rtol=1e-4, atol=1e-5)


@laws(30)
@given(numbers=st.lists(st.integers(0, 22), min_size=1, max_size=12), size=st.integers(1, 9))
def test_rows_are_those_of_the_subset_in_whichever_batches(numbers, size):
    model = Tiny()
    subset = Subset(DATASET.train, np.array(numbers), DATASET.mean, DATASET.std)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mu.models.head.BATCH_SIZE", size)
        found = features(model, subset, Run(device="cpu"))

    assert model.batches >= len(numbers) // (size + 1) + SEARCH
    torch.testing.assert_close(found, by_hand(model, subset), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training):
    model = build("resnet_mini").train(training)
    before = copy.deepcopy(model.state_dict())

    found = features(model, EVERYTHING, Run(device="cpu"))

    assert model.training is training
    assert all(one.training is training for one in model.modules())
    assert not hooks_of(model)
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(features(model.eval(), EVERYTHING, Run(device="cpu")), found)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_the_network_is_left_as_it_was_even_if_it_fails(batch, training, monkeypatch):
    monkeypatch.setattr("mu.models.head.BATCH_SIZE", 5)
    model = Tiny(fails_at=batch).train(training)

    with pytest.raises(RuntimeError, match="the device is lost"):
        features(model, EVERYTHING, Run(device="cpu"))

    assert model.batches == batch
    assert all(one.training is training for one in model.modules())
    assert not hooks_of(model)


def test_features_of_half_precision_are_float64_too():
    model = build("resnet_mini")

    found = features(model, EVERYTHING, Run(device="cpu", precision="bf16"))

    assert found.dtype == torch.float64
    exact = features(model, EVERYTHING, Run(device="cpu"))
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)


def test_a_network_without_a_head_is_refused_and_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten(), nn.Softmax(1)).train()

    with refused("no head", "'2' (Softmax)"):
        features(model, EVERYTHING, Run(device="cpu"))
    assert model.training
    assert not hooks_of(model)


def test_features_of_a_convolution_are_what_it_sees():
    model = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 3, 4), nn.Flatten())

    found = features(model, EVERYTHING, Run(device="cpu"))

    assert found.shape == (23, 3 * 4 * 4)
    torch.testing.assert_close(found, by_hand(model, EVERYTHING), rtol=1e-4, atol=1e-5)
