"""The network that trains fast: its fixed layer, its first weights, and what leaves it alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mu.checkpoints import Checkpoint, forget_split
from mu.data import load_data
from mu.data.batches import Batches
from mu.methods import make_method
from mu.models import ModelSpec
from mu.models.whitening import EPSILON, Whitening, fit_to, patch_covariance
from mu.originals.train import make_recipe, train_original
from mu.pruning.base import prunable
from mu.pruning.scoring.linearised import Twin
from mu.runs import Run
from tests.helpers import make_dataset

DIGITS = load_data("digits")
COLOUR = make_dataset(train=40, size=9, channels=3).training_subset(np.arange(30))


def fresh(image_size: int = 32, channels: int = 3) -> nn.Module:
    return ModelSpec("fastnet", 10, channels, image_size=image_size).build(0)


def test_it_has_the_weights_of_the_paper() -> None:
    model = fresh()
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    biases = 24 + 2 * (64 + 256 + 256)
    assert sum(one.numel() for one in model.parameters()) == convolutions + biases + 2560
    assert model.whitening.weight.shape == (24, 3, 2, 2)
    assert "whitening.weight" in model.state_dict()


def test_it_is_the_paper_s_chain_of_operations() -> None:
    model = fresh().eval()  # of running means 0 and variances 1
    for parameter in model.parameters():
        parameter.data.add_(0.01)
    images = torch.randn(3, 3, 32, 32)
    signal = nn.functional.gelu(nn.functional.conv2d(
        images, model.whitening.weight, model.whitening.bias
    ))  # fmt: skip
    for group in (model.group1, model.group2, model.group3):
        for place, norm in ((0, 2), (4, 5)):
            signal = nn.functional.conv2d(signal, group[place].weight, padding=1)
            signal = nn.functional.max_pool2d(signal, 2) if place == 0 else signal
            signal = nn.functional.gelu(signal + group[norm].bias.view(-1, 1, 1))
    assert signal.shape == (3, 256, 3, 3)
    expected = nn.functional.max_pool2d(signal, 3).flatten(1) @ model.head.weight.T / 9
    torch.testing.assert_close(model(images), expected)


def test_convolutions_start_as_the_identity_on_their_first_filters() -> None:
    model, signal = fresh(), torch.randn(2, 64, 7, 7)
    wider = model.group2[0](signal)
    torch.testing.assert_close(wider[:, :64], signal)
    assert wider[:, 64:].std() > 0
    assert not torch.equal(model.group2[0].weight[64], model.group2[0].weight[65])
    assert {norm.momentum for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)} == {0.4}


def patches(subset, layer):
    """Every patch of every image, in float64, cut out one by one."""
    images = torch.cat([one for one, _ in Batches(subset, 7, torch.device("cpu")).in_order()])
    height, width = (side - 1 for side in images.shape[2:])
    places = [(row, column) for row in range(height) for column in range(width)]
    cut = [images[:, :, row : row + 2, column : column + 2].flatten(1) for row, column in places]
    return torch.cat(cut).double()


def test_whitened_patches_have_the_identity_as_covariance() -> None:
    layer = Whitening(3, 2, 1)
    fit_to(nn.Sequential(layer), COLOUR, seed=0)
    rows = patches(COLOUR, layer)
    filters = layer.weight.double().flatten(1)
    values = torch.linalg.eigvalsh(torch.cov(rows.T, correction=0)).flip(0)

    found = torch.cov((rows @ filters[:12].T).T, correction=0)

    # Where the eigenvalue is large beside the constant, that is the identity.
    torch.testing.assert_close(found, torch.diag(values / (values + EPSILON)), rtol=1e-5, atol=1e-5)
    assert found.diagonal().min() > 0.99
    assert torch.equal(layer.weight[:12], -layer.weight[12:])
    torch.testing.assert_close(
        patch_covariance(layer, COLOUR), torch.cov(rows.T, correction=0), rtol=1e-9, atol=1e-12
    )


def test_an_image_that_never_varies_gives_finite_filters() -> None:
    still = make_dataset(train=6, size=9, channels=3)
    still.train.pixels.fill_(7)
    layer = Whitening(3, 2, 1)
    layer.fit(patch_covariance(layer, still.training_subset(np.arange(6))))
    assert torch.isfinite(layer.weight).all()


# --- originals ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original() -> Checkpoint:
    recipe = make_recipe(
        DIGITS, profile="fast", rate=0.9, epochs=2, batch_size=40, train_size=100, lr=0.1,
        weight_decay=1e-4, when="trained", rewind_epoch=1,
    )  # fmt: skip
    return train_original(DIGITS, recipe, Run(device="cpu"))


def fitted(indices: np.ndarray) -> torch.Tensor:
    layer = Whitening(1, 2, 1)
    fit_to(nn.Sequential(layer), DIGITS.training_subset(indices), seed=0)
    return layer.weight


def test_the_fixed_layer_is_that_of_the_samples_trained_on(original: Checkpoint) -> None:
    split = forget_split(original, DIGITS, "class:3")
    assert torch.equal(original.model.whitening.weight, fitted(original.spec.split(DIGITS).train))

    oracle = copy.deepcopy(original)
    make_method("retrain").unlearn(oracle, split, Run(device="cpu"))

    assert torch.equal(oracle.model.whitening.weight, fitted(split.retain))
    assert not torch.equal(oracle.model.whitening.weight, original.model.whitening.weight)


@pytest.mark.parametrize("scope", ["body", "head", "all"])
def test_it_is_no_candidate_for_a_mask(original: Checkpoint, scope: str) -> None:
    names = prunable(original.model, scope, "head")
    assert "whitening.weight" not in names
    assert ("head.weight" in names) == (scope != "body")
    assert "group1.0.weight" in names
    assert "whitening.weight" not in original.mask


def test_unlearning_moves_everything_else(original: Checkpoint) -> None:
    checkpoint = copy.deepcopy(original)
    split = forget_split(original, DIGITS, "class:3")
    settings = {"epochs": 1, "lr": 0.1, "weight_decay": 0.5}
    make_method("ft", settings).unlearn(checkpoint, split, Run(device="cpu"))
    before, after = original.model.state_dict(), checkpoint.model.state_dict()
    assert torch.equal(before["whitening.weight"], after["whitening.weight"])
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert {*before} - {*moved} == {"whitening.weight"}
    for name in original.mask:
        assert not checkpoint.model.get_parameter(name)[~original.mask[name]].any()


def test_paths_through_fixed_weights_count_by_their_size(original: Checkpoint) -> None:
    """Signed, a filter and its negative would cancel: no path would pass."""
    names = ["group1.0.weight"]
    model = copy.deepcopy(original.model)
    twin = Twin(model, original.mask, torch.device("cpu"))
    ones = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    sums = twin.path_sums(ones, names)[names[0]]
    assert (sums >= 0).all()
    assert sums.any()
