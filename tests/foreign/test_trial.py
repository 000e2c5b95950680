"""Networks that know their images under another normalisation, or other classes, are told."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import mu
from mu.data.images import ImageDataset, Images
from mu.evaluation.outputs import predict
from mu.foreign.originals import Imported, import_original
from mu.foreign.trial import usual
from tests.cli.foreign_files import save
from tests.helpers import make_dataset


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return mu.load_data("digits")


@pytest.fixture(scope="module")
def weights(digits: ImageDataset) -> dict[str, Tensor]:
    """Of a network that was trained on pixels from 0 to 255 as they are."""
    settings = {"epochs": 4, "rate": 0.0, "val_share": 0.0, "augment": "none", "lr": 0.05}
    data = replace(digits, mean=(0.0,), std=(1 / 255,))
    checkpoint = mu.train_original(data, mu.make_recipe(data, **settings), mu.Run(device="cpu"))
    return dict(checkpoint.model.state_dict())


def right(imported: Imported, digits: ImageDataset) -> float:
    """Percent of the training images, by a forward pass of the test's."""
    data = imported.checkpoint.spec.data
    images = (digits.train.pixels.float() / 255 - data.mean[0]) / data.std[0]
    with torch.no_grad():
        found = imported.checkpoint.model.eval()(images).argmax(1)
    return 100 * float((found == digits.train.labels).double().mean())


def warned(imported: Imported, digits: ImageDataset) -> list[str]:
    return imported.warnings(digits, right(imported, digits), mu.Run(device="cpu"), "mu import F")


def test_the_normalisation_that_fits_is_named(
    digits: ImageDataset, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = save(tmp_path / "file.pt", weights)
    wrong = import_original(path, digits)
    (text,) = warned(wrong, digits)
    assert text.startswith(f"train_acc {right(wrong, digits):.2f} % is ")
    assert "another normalisation fits better, none (pixels 0-255) (" in text
    (command,) = re.findall("repeat with: (.*)", text)
    *start, mean, std = shlex.split(command)
    assert start == ["mu", "import", "F"]
    given = {one.split("=")[0]: [float(one.split("=")[1])] for one in (mean, std)}
    again = import_original(path, digits, mean=given["--mean"], std=given["--std"])
    accuracy = right(again, digits)
    assert accuracy > right(wrong, digits) + 20
    assert warned(again, digits) == []
    (figure,) = re.findall(r"none \(pixels 0-255\) ([\d.]+) %", text)
    assert float(figure) == pytest.approx(accuracy, abs=3)  # of a sample


def test_another_order_of_the_classes_is_named(
    digits: ImageDataset, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]  # the class of each output
    shuffled = {n: one[order] if n.startswith("fc.") else one for n, one in weights.items()}
    path = save(tmp_path / "file.pt", shuffled)
    cases: list[dict[str, Any]] = [{}, {"mean": [0.0], "std": [1 / 255]}]
    for settings in cases:
        (text,) = warned(import_original(path, digits, **settings), digits)
        assert "its classes are in another order" in text
        assert f"in the order {', '.join(map(str, order))})" in text
        assert "put the rows of its last layer into the order of the data set" in text


def test_a_network_that_knows_nothing_has_no_normalisation_that_fits(
    digits: ImageDataset, tmp_path: Path
) -> None:
    model = mu.make_recipe(digits).model.build(3)
    imported = import_original(save(tmp_path / "file.pt", dict(model.state_dict())), digits)
    (text,) = warned(imported, digits)
    assert "near chance (10." in text
    assert "no usual normalisation fits better (normalisations on 1,000 training images: " in text
    for name in ("as imported", "mean 0.5 and std 0.5", "none (pixels 0-1)"):
        assert name in text


def test_nothing_is_tried_where_all_images_are_known(
    digits: ImageDataset, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    imported = import_original(save(tmp_path / "file.pt", weights), digits)
    assert imported.warnings(digits, 99.9, mu.Run(device="cpu")) == []


def test_a_normalisation_of_the_file_is_not_doubted(
    digits: ImageDataset, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    layer = {"normalize.mean": torch.tensor([0.5]), "normalize.std": torch.tensor([0.5])}
    imported = import_original(save(tmp_path / "file.pt", {**weights, **layer}), digits)
    assert not [text for text in warned(imported, digits) if "--mean" in text]


def test_the_usual_normalisations() -> None:
    grey, colour = (make_dataset(channels=channels) for channels in (1, 3))
    assert "ImageNet's" not in usual(grey)
    assert usual(colour)["ImageNet's"] == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert usual(colour)["mean 0.5 and std 0.5"] == ((0.5,) * 3, (0.5,) * 3)
    assert usual(grey)["the data set's"] == (grey.mean, grey.std)
    assert all(len(one) == 3 for pair in usual(colour).values() for one in pair)


@pytest.fixture(scope="module")
def coloured() -> ImageDataset:
    """Images whose class is their colour, on a noise that says nothing."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    pixels = torch.randint(0, 120, (240, 3, 8, 8), generator=rng, dtype=torch.uint8)
    pixels[torch.arange(240), labels] += 100
    made = make_dataset(train=240, classes=3, channels=3)
    return replace(made, name="svhn", train=Images(pixels, labels))


@pytest.fixture(scope="module")
def of_colours(coloured: ImageDataset) -> dict[str, Tensor]:
    settings = {"epochs": 6, "rate": 0.0, "val_share": 0.0, "augment": "none", "lr": 0.05}
    recipe = mu.make_recipe(coloured, batch_size=32, arch="resnet_mini", **settings)
    return dict(mu.train_original(coloured, recipe, mu.Run(device="cpu")).model.state_dict())


def accuracy(imported: Imported, dataset: ImageDataset) -> float:
    data = imported.checkpoint.spec.data.bind(dataset)
    run = mu.Run(device="cpu")
    return predict(imported.checkpoint.model, data.training_subset(np.arange(240)), run).accuracy()


@pytest.mark.parametrize("changed", [False, True])
def test_channels_in_the_reverse_order_are_named(
    coloured: ImageDataset, of_colours: dict[str, Tensor], tmp_path: Path, changed: bool
) -> None:
    """With the normalisation that it was trained with, and with another one."""
    run = mu.Run(device="cpu")
    turned = {n: w.flip(1) if n == "conv1.weight" else w for n, w in of_colours.items()}
    path = save(tmp_path / "file.pt", turned)
    wrong: dict[str, Any] = {"mean": [3.0] * 3, "std": [0.1] * 3} if changed else {}
    imported = import_original(path, coloured, arch="resnet_mini", **wrong)
    before = accuracy(imported, coloured)
    assert before < 90
    (text,) = imported.warnings(coloured, before, run, "mu import F")
    name = "the data set's" if changed else "as imported"
    assert f"it wants its channels in the order blue, green, red, {name} (" in text
    assert "state[NAME].flip(1)" in text
    assert ("--mean=" in text) == changed
    right = import_original(save(tmp_path / "right.pt", of_colours), coloured, arch="resnet_mini")
    assert accuracy(right, coloured) > 99.5
    assert right.warnings(coloured, accuracy(right, coloured), run) == []


def test_channels_are_not_blamed_where_both_orders_do_as_well(
    coloured: ImageDataset, of_colours: dict[str, Tensor], tmp_path: Path
) -> None:
    wrong = {"mean": [3.0] * 3, "std": [0.1] * 3}
    imported = import_original(
        save(tmp_path / "file.pt", of_colours), coloured, arch="resnet_mini", **wrong
    )
    (text,) = imported.warnings(coloured, 40.0, mu.Run(device="cpu"), "mu import F")
    assert "another normalisation fits better, the data set's (" in text
    assert "order blue" not in text
