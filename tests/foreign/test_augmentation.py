"""An augmentation that is assumed, and that the network evidently never saw, is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import mu
from mu.data.images import Images
from mu.foreign.originals import import_original
from mu.foreign.trial import doubt_augmentation, shifted
from tests.cli.foreign_files import save
from tests.helpers import make_dataset, refused


class Side(nn.Module):
    """Says whether the left or the right half is brighter: 0 or 1."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.mean((1, 2)).chunk(2, dim=1)
        return torch.stack([left.sum(1), right.sum(1)], 1)


class Corner(nn.Module):
    """Says whether the pixel in the corner is bright."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([-images[:, 0, 0, 0], images[:, 0, 0, 0]], 1)


class Whole(nn.Module):
    """Says whether the brightest pixel is bright."""

    def forward(self, images: Tensor) -> Tensor:
        brightest = images.amax((1, 2, 3))
        return torch.stack([-brightest, brightest], 1)


def dataset() -> mu.ImageDataset:
    """Images of 48 x 48: dark ones whose left half is brighter, and bright ones."""
    labels = torch.arange(200) % 2
    pixels = torch.full((200, 1, 48, 48), 20, dtype=torch.uint8)
    pixels[labels == 1] = 200
    pixels[labels == 0, :, :, :24] += 30
    pixels[labels == 1, :, :, 24:] += 50
    data = make_dataset(train=60, size=48, classes=2)
    return replace(
        data, train=Images(pixels, labels), test=Images(pixels, labels), mean=(0.5,), std=(0.5,)
    )


@pytest.mark.parametrize(
    ("model", "assumed", "likely"),
    [
        (Side(), "crop_flip", "crop"),
        (Side(), "crop", None),
        (Corner(), "crop_flip", "none"),
        (Corner(), "crop", "none"),
        (Corner(), "none", None),
        (Whole(), "crop_flip", None),
    ],
)
def test_what_the_network_does_not_know(model: nn.Module, assumed: str, likely: str | None) -> None:
    data = dataset()
    images = data.training_subset(torch.arange(200).numpy())
    text = doubt_augmentation(model, images, assumed, mu.Run(device="cpu"))
    if likely is None:
        assert text is None
    else:
        assert text is not None
        assert text.startswith(f"augment={assumed} is assumed, but the network knows 100.0 %")
        assert f"give augment={likely}, or Retrain differs" in text


def test_shifted_images() -> None:
    pixels = torch.arange(2 * 5 * 6, dtype=torch.uint8).view(1, 2, 5, 6) + 1
    found = shifted(pixels)
    assert found.shape == pixels.shape
    assert torch.equal(found[..., 3:, 3:], pixels[..., :2, :3])
    assert not found[..., :3, :].any()
    assert not found[..., :3].any()


def test_only_what_was_not_given_is_doubted(tmp_path: Path) -> None:
    digits = mu.load_data("digits")
    settings = {"epochs": 4, "rate": 0.0, "val_share": 0.0, "augment": "none", "lr": 0.05}
    run = mu.Run(device="cpu")
    trained = mu.train_original(digits, mu.make_recipe(digits, **settings), run).model
    path = save(tmp_path / "file.pt", dict(trained.state_dict()))
    photographs = replace(digits, name="imagefolder")  # for which crop_flip is the default
    imported = import_original(path, photographs, arch="resnet_mini")
    (text,) = imported.warnings(photographs, 99.9, run)
    assert text.startswith("augment=crop_flip is assumed, but the network knows 9")
    given = import_original(path, photographs, arch="resnet_mini", augment="crop_flip")
    assert given.warnings(photographs, 99.9, run) == []
    with refused("augment"):
        import_original(path, digits, augment="flip")
