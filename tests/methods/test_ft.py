"""The settings that fine-tuning methods take over from the original, and those they choose."""

import copy

import pytest
import torch

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.methods import make_method
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train

DATA = load_data("digits")
BLIND = ("forget",)  # of the contract tests
METHODS = ["ft", "l1_sparse"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("original", "asked", "expected"),
    [
        ({"optimizer": "sgd", "lr": 0.03}, {}, ("sgd", 0.1)),
        ({"optimizer": "adam", "lr": 0.002}, {}, ("adam", 0.002)),
        ({"optimizer": "adamw", "lr": 0.003}, {}, ("adamw", 0.003)),
        ({"optimizer": "adam", "lr": 0.002}, {"optimizer": "adamw"}, ("adamw", 0.002)),
        ({"optimizer": "adam", "lr": 0.002}, {"optimizer": "sgd"}, ("sgd", 0.1)),
        ({"optimizer": "sgd", "lr": 0.03}, {"optimizer": "adam"}, ("adam", 0.001)),
        ({"optimizer": "sgd", "lr": 0.03}, {"optimizer": "adamw"}, ("adamw", 0.001)),
        ({"optimizer": "adam", "lr": 0.002}, {"lr": 0.5}, ("adam", 0.5)),
        ({"optimizer": "sgd", "lr": 0.03}, {"lr": 0.5}, ("sgd", 0.5)),
    ],
)
def test_the_optimiser_is_the_originals_and_the_rate_fits_it(name, original, asked, expected):
    training = make_method(name, asked).training(Training(**original))
    assert (training.optimizer, training.lr) == expected


@pytest.mark.parametrize("name", METHODS)
def test_batches_and_augmentation_are_the_originals_its_regularisers_are_not(name):
    original = Training(
        batch_size=17, augment="crop", label_smoothing=0.2, sam_rho=0.1, epochs=99, warmup=3
    )
    training = make_method(name).training(original)
    assert (training.batch_size, training.augment) == (17, "crop")
    assert (training.label_smoothing, training.sam_rho, training.warmup) == (0.0, 0.0, 0)
    assert training.epochs == 10


@pytest.fixture(scope="module")
def original():
    recipe = make_recipe(DATA, rate=0.5, epochs=1, train_size=60, optimizer="adam", lr=0.004)
    return train_original(DATA, recipe, Run())


@pytest.mark.parametrize("name", METHODS)
def test_a_run_records_what_is_in_force(original, name):
    used = make_method(name).in_force(original)
    assert (used["optimizer"], used["batch_size"]) == ("adam", 64)
    by_rule = name == "ft"
    assert used["lr"] == (None if by_rule else 0.004)
    assert make_method(name, {"lr": 0.3}).in_force(original)["lr"] == 0.3
    with_sgd = make_method(name, {"optimizer": "sgd"}).in_force(original)
    assert with_sgd["lr"] == (None if by_rule else 0.1)


def test_fine_tuning_is_the_loop_with_these_settings(original):
    split = forget_split(original, DATA, "class:4")
    found, expected = copy.deepcopy(original), copy.deepcopy(original)
    make_method("ft", {"epochs": 2, "lr": 0.004}).unlearn(found, split, Run())
    settings = Training(
        epochs=2, lr=0.004, batch_size=64, schedule="cosine", augment="none", optimizer="adam"
    )
    train(expected.model, split.retain_set, settings, Run(), mask=original.mask)
    left, right = found.model.state_dict(), expected.model.state_dict()
    assert all(torch.equal(left[key], right[key]) for key in left)
