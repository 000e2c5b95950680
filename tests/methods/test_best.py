"""Training by the rule: how strong each epoch is, and which one is kept."""

import copy
import math

import pytest
import torch

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.methods import make_method
from mu.methods.l1_sparse import MOST_PULL, l1_norm, scale_of
from mu.methods.steps.best import Careful, Ramp, train_by_rule
from mu.methods.steps.criterion import ALREADY, Standing, StopCriterion
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train
from tests.methods.networks import RESIDUAL

DATA = load_data("digits")


@pytest.fixture(scope="module")
def original():
    recipe = make_recipe(DATA, arch=RESIDUAL, rate=0.5, epochs=2, train_size=100)
    return train_original(DATA, recipe, Run(device="cpu"))


@pytest.fixture(scope="module")
def split(original):
    return forget_split(original, DATA, "class:4")


class Scripted(StopCriterion):
    """It says what it is told, one standing for each time that it is asked."""

    chance = 0.0
    max_accuracy_drop = 1.0

    def __init__(self, *standings):
        self.standings = iter(standings)

    def standing(self, _model):
        return Standing(*next(self.standings))


# --- how strong -----------------------------------------------------------------------------


def ramp_after(excesses, epochs=10, schedule="cosine", doublings=5):
    run = Run(device="cpu")
    for epoch, excess in enumerate(excesses):
        run.log("excess", excess, epoch)
    return Ramp(Training(epochs=epochs, schedule=schedule), run, doublings)


def levels(*excesses, **settings):
    """Of the epochs, each knowing only those before it."""
    return [ramp_after(excesses[:epoch], **settings).level(epoch) for epoch in range(len(excesses))]


def test_it_doubles_up_to_half_of_the_epochs_and_falls_with_the_schedule():
    falling = [8 * 0.5 * (1 + math.cos(math.pi * past / 6)) for past in range(1, 6)]
    assert levels(*[50.0] * 10) == pytest.approx([1, 2, 4, 8, 16, *falling])


def test_once_the_forget_set_is_forgotten_it_falls_whatever_comes_later():
    falling = [2 * 0.5 * (1 + math.cos(math.pi * past / 8)) for past in range(1, 8)]
    excesses = [50.0, 20.0, 0.0, *[9.0] * 7]
    assert levels(*excesses) == pytest.approx([1, 2, 4, *falling])
    assert levels(*excesses, schedule="constant") == [1, 2, 4, *[2] * 7]


@pytest.mark.parametrize(("epochs", "rising"), [(1, 1), (2, 1), (3, 2), (4, 2), (100, 50)])
def test_other_numbers_of_epochs_rise_as_far(epochs, rising):
    found = levels(*[50.0] * epochs, epochs=epochs)
    assert found[0] == 1
    assert found == pytest.approx(
        [2 ** (10 * epoch / epochs) for epoch in range(rising)] + found[rising:]
    )
    assert all(later < found[rising - 1] for later in found[rising:])
    assert ramp_after([], epochs).longest == rising


def test_without_doublings_it_holds():
    falling = [0.5 * (1 + math.cos(math.pi * past / 8)) for past in range(1, 8)]
    excesses = [50.0, 20.0, 0.0, *[9.0] * 7]
    assert levels(*excesses, doublings=0) == pytest.approx([1, 1, 1, *falling])


def test_fine_tuning_is_the_loop_at_these_rates(original, split, monkeypatch):
    said = [(50.0, 0.0), (40.0, 9.0), (-2.0, 9.0), (0.0, 0.0), (0.0, 0.0)]
    monkeypatch.setattr("mu.methods.stopping.Stopping.criterion", lambda *_: Scripted(*said))
    found, expected, run = copy.deepcopy(original), copy.deepcopy(original), Run(device="cpu")
    make_method("ft", {"epochs": 4}).unlearn(found, split, run)
    rates = [
        0.1,
        0.1 * 2**2.5,
        *(0.1 * (1 + math.cos(math.pi * t / 3)) / 2 for t in (1, 2)),  # from a rise before
    ]
    training = make_method("ft", {"epochs": 4}).training(original.spec.recipe.training)
    train(
        expected.model,
        split.retain_set,
        training.replace(lr=1.0),
        Run(device="cpu"),
        mask=original.mask,
        factor=lambda moment: rates[int(moment)],
    )
    assert [rate for _, rate in run.history("lr")] == pytest.approx(rates)
    same(found, expected.model.state_dict())


def test_the_penalty_holds_by_the_weights_scale_and_then_falls_with_the_rate(
    original, split, monkeypatch
):
    said = [(50.0, 0.0), (40.0, 9.0), (40.0, 9.0), (0.0, 9.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    monkeypatch.setattr("mu.methods.stopping.Stopping.criterion", lambda *_: Scripted(*said))
    found, expected, run = copy.deepcopy(original), copy.deepcopy(original), Run(device="cpu")
    method = make_method("l1_sparse", {"epochs": 6, "lr": 0.02, "momentum": 0.5})
    method.unlearn(found, split, run)
    steps = math.ceil(len(split.retain) / 64)
    # A constant pull acts twice with a momentum of one half.
    first = MOST_PULL * scale_of(original) / (0.02 * steps * 2 * 3)
    fall = [(1 + math.cos(math.pi * t / 4)) / 2 for t in (1, 2, 3)]
    alphas = [first] * 3 + [first * one for one in fall]
    *each, used = (alpha for _, alpha in run.history("alpha"))
    assert (each, used) == (pytest.approx(alphas), max(each))
    assert run.metrics["alpha"] == pytest.approx(max(alphas))
    assert [rate for _, rate in run.history("lr")] == pytest.approx(
        [0.02] * 3 + [0.02 * f for f in fall]
    )
    weights = [expected.model.get_parameter(name) for name in original.mask]
    train(
        expected.model,
        split.retain_set,
        method.training(original.spec.recipe.training).replace(lr=1.0),
        Run(device="cpu"),
        mask=original.mask,
        penalty=lambda epoch: alphas[epoch] * l1_norm(weights),
        factor=lambda moment: [0.02, 0.02, 0.02, *(0.02 * one for one in fall)][int(moment)],
    )
    same(found, expected.model.state_dict())


# --- which epoch is kept --------------------------------------------------------------------


def trained(original, split, criterion, run, epochs=4, **settings):
    found = copy.deepcopy(original)
    training = Training(epochs=epochs, lr=0.02, batch_size=32, schedule="cosine", augment="none")
    train_by_rule(
        criterion, found, split.retain_set, training.replace(**settings), run, None, label="test"
    )
    return found


def after(original, split, epochs):
    """The weights after some of four epochs."""
    found = copy.deepcopy(original)
    training = Training(epochs=4, lr=0.02, batch_size=32, schedule="cosine", augment="none")
    train(
        found.model,
        split.retain_set,
        training,
        Run(device="cpu"),
        mask=original.mask,
        stop_epoch=epochs,
    )
    return found.model.state_dict()


def same(found, weights):
    for name, value in found.model.state_dict().items():
        assert torch.allclose(value, weights[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ([(90, 1.0), (50, 1.0), (20, 1.0), (10, 1.0)], 4),  # always nearer
        ([(50, 1.0), (-0.5, 0.9), (30, 0.1), (40, 0.0)], 2),  # it was forgotten once
        ([(-40, 0.0), (-8, 0.2), (3, 0.2), (-9, 0.2)], 3),  # nearest, on either side
        ([(0, 1.1), (0, 20.0), (60, 1.0), (0, 1.2)], 3),  # the only one that is affordable
        ([(0, 0.2), (0, 0.8), (-1, 0.2), (0, 0.9)], 3),  # of equal ones the cheapest, then last
        ([(0, 1.1), (0, 20.0), (0, 9.0), (0, 1.2)], 0),  # none is affordable
        ([(110, 0.0), (101, -1.0), (300, 0.0), (150, 0.0)], 0),  # all are farther
    ],
)
def test_the_best_epoch_is_kept(original, split, said, kept):
    run = Run(device="cpu")
    found = trained(original, split, Scripted((100.0, 0.0), *said), run)
    same(found, after(original, split, kept))
    best = [(100.0, 0.0), *said][kept]
    assert (run.metrics["best_epoch"], run.metrics["excess"]) == (kept, best[0])
    # What was kept comes last, so that it is the number that MLflow shows.
    epochs = [(epoch, one[0]) for epoch, one in enumerate(said)]
    assert run.history("excess") == [*epochs, (len(said), best[0])]
    assert run.history("retain_drop") == [(epoch, one[1]) for epoch, one in enumerate(said)]
    if best[0] > 0:
        assert (
            f"the best of 4 epochs, {kept}, leaves the network {best[0]:.1f} points" in run.notes[0]
        )
    else:
        assert run.notes == []


@pytest.mark.parametrize("excess", [0.0, -30.0])
def test_what_is_forgotten_already_is_not_trained(original, split, excess):
    run = Run(device="cpu")
    found = trained(original, split, Scripted((excess, 0.0)), run)
    assert all(
        torch.equal(value, original.model.state_dict()[name])
        for name, value in found.model.state_dict().items()
    )
    assert run.notes == [ALREADY]
    assert run.metrics == {"excess_before": excess}


def test_a_training_that_ends_in_no_numbers_ends_with_its_best_epoch(original, split):
    run = Run(device="cpu")
    said = [(100.0, 0.0), (50.0, 0.5), (-math.inf, math.inf)]
    found = trained(original, split, Scripted(*said), run)
    same(found, after(original, split, 1))
    assert run.notes[0].startswith("the training ended early: outputs were NaN or infinite")
    run = Run(device="cpu")
    found = trained(original, split, Scripted((100.0, 0.0)), run, lr=1e30)
    same(found, original.model.state_dict())
    assert run.notes[0].startswith("the training ended early")
    assert run.metrics["best_epoch"] == 0


def test_without_a_rule_the_last_epoch_is_the_end(original, split):
    run = Run(device="cpu")
    same(trained(original, split, None, run), after(original, split, 4))
    assert "excess" not in run.metrics


# --- what went too far is taken back ------------------------------------------------------


@pytest.mark.parametrize(
    ("past", "level", "forgets"),
    [
        ([], 1, True),
        ([(90, 1), (50, 1)], 4, True),
        ([(90, 1), (-40, 0)], 1, True),  # half of what it was
        ([(90, 1), (-40, 0), (-40, 0), (30, 1), (20, 1)], 0.5, True),  # it grows no more
        ([(90, 1), (0, 1), (-0.5, 1)], 2, False),  # it is forgotten: as strong as it was
        ([(90, 1), (0, 1), (5, 1)], 2, True),
    ],
)
def test_it_doubles_until_it_is_there_and_halves_after_what_was_taken_back(past, level, forgets):
    run = Run(device="cpu")
    for epoch, (excess, kept) in enumerate(past):
        run.log_all({"excess": excess, "kept": kept}, epoch)
    careful = Careful(Training(), run)
    assert (careful.level(len(past)), careful.forgets) == (level, forgets)


def test_an_epoch_that_went_too_far_is_taken_back(original, split):
    """The next one starts from the best, with an optimiser that knows nothing of it."""
    said, run = [(100, 0.0), (50, 0.0), (-80, 0.0), (40, 0.0)], Run(device="cpu")
    training = Training(epochs=3, lr=0.02, batch_size=32, schedule="constant", augment="none")
    found = copy.deepcopy(original)
    train_by_rule(Scripted(*said), found, split.retain_set, training, run, None, takes_back=True)
    expected = copy.deepcopy(original)
    for epoch in (0, 2):
        train(
            expected.model,
            split.retain_set,
            training,
            Run(device="cpu"),
            mask=original.mask,
            start_epoch=epoch,
            stop_epoch=epoch + 1,
        )
    same(found, expected.model.state_dict())
    assert [one for _, one in run.history("kept")] == [1, 0, 1]
    assert run.metrics["best_epoch"] == 3
