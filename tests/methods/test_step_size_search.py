"""How far to go: what is wanted of the forget set, what the retain set can bear, the search."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Images
from mu.data.poison import PoisonedDataset
from mu.errors import UserError
from mu.fisher.free import FreeWeights
from mu.masks import Mask
from mu.methods import make_method
from mu.methods.steps import criterion as module
from mu.methods.steps.criterion import StopCriterion
from mu.methods.steps.search import FIRST, LAST, farthest, move
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.methods.networks import STEP, SURE, Reader

CLASSES = 4
NOT_A_NUMBER = -1


def split_of(forget, retain, val):
    """The parts, each a list of (label, what a Reader says); test images are never to be read."""
    everything = [*forget, *retain, *val]
    pixels = torch.zeros(len(everything), 1, 2, 2, dtype=torch.uint8)
    for number, (_, said) in enumerate(everything):
        pixels[number, 0, 0, 0] = 255 if said == NOT_A_NUMBER else said * STEP
    labels = torch.tensor([label for label, _ in everything])
    unreadable = Images(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8), torch.zeros(1).long())
    names = tuple(str(label) for label in range(CLASSES))
    data = ImageDataset("said", Images(pixels, labels), unreadable, names, (0.0,), (1.0,))
    ends = np.cumsum([0, len(forget), len(retain), len(val)])
    return ForgetSplit(data, *(np.arange(*pair) for pair in itertools.pairwise(ends)))


def criterion_of(forget, retain, val, max_accuracy_drop=1.0, run=None):
    return StopCriterion(
        Reader(CLASSES), split_of(forget, retain, val), run or Run(device="cpu"), max_accuracy_drop
    )


def right(label, count=1):
    return [(label, label)] * count


def wrong(label, count=1):
    return [(label, (label + 1) % CLASSES)] * count


RETAIN = [*right(0, 3), *right(1, 3), *right(2)]
VAL = [*right(0, 3), *wrong(0), *right(1), *wrong(1), *wrong(2, 5)]  # 3/4, 1/2 and 0


# --- what is wanted -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forget", "wanted"),
    [
        (right(0), 75.0),
        (right(1), 50.0),
        (right(2), 0.0),
        (right(0, 3) + right(1), 100 * (0.75 * 0.75 + 0.25 * 0.5)),
        (right(0, 2) + right(1) + right(2), 100 * (0.5 * 0.75 + 0.25 * 0.5)),
        (wrong(0, 5), 75.0),
    ],
)
def test_as_unseen_images_of_the_same_classes_are_recognised(forget, wanted):
    assert criterion_of(forget, RETAIN, VAL).wanted == pytest.approx(wanted)


def test_a_class_that_is_forgotten_as_a_whole_is_not_to_be_recognised_at_all():
    val = VAL + right(3, 4)
    assert criterion_of(right(3, 4), RETAIN, val).wanted == 0
    mixed = right(3, 2) + right(0, 2)
    assert criterion_of(mixed, RETAIN, val).wanted == pytest.approx(0.5 * 75)
    three_to_one = right(3, 1) + right(0, 2) + right(1, 1)
    assert criterion_of(three_to_one, RETAIN, val).wanted == pytest.approx(
        100 * (0.5 * 0.75 + 0.25 * 0.5)
    )


def test_a_false_label_is_not_to_be_recognised_at_all():
    # Two of four samples were poisoned with label 0; of clean images of class 0, 3 in 4 are known.
    split = split_of([*right(0, 2), (0, 0), (0, 1)], RETAIN, VAL)
    published = split.dataset.train.labels.clone()
    published[2:4] = torch.tensor([2, 1])
    clean = replace(split.dataset, train=Images(split.dataset.train.pixels, published))
    own = {name: getattr(split.dataset, name) for name in ImageDataset.__dataclass_fields__}
    poison = make_poison((2, 3))
    poisoned = PoisonedDataset(**own, clean=clean, planted=poison, attack=poison)
    split = replace(split, dataset=poisoned)
    assert split.mislabelled.tolist() == [False, False, True, True]
    found = StopCriterion(Reader(CLASSES), split, Run(device="cpu"), 1.0)
    assert found.wanted == pytest.approx(100 * 0.75 / 2, abs=0.1)
    assert not found.is_forgotten(Reader(CLASSES)), "the first poisoned sample is still called 0"


def test_classes_without_validation_images_are_as_the_others():
    forget = right(0, 2) + right(3, 6)
    assert criterion_of(forget, [*RETAIN, *right(3)], VAL).wanted == pytest.approx(75)


def test_without_any_validation_images_nothing_is_to_be_recognised():
    assert criterion_of(right(0, 2), RETAIN, []).wanted == 0
    assert criterion_of(right(3, 2), [*RETAIN, *right(3)], VAL).wanted == 0


def test_forgotten_means_no_better_than_wanted():
    reader = Reader(CLASSES)
    for said, forgotten in ((right(1, 2), False), (right(1) + wrong(1), True), (wrong(1, 2), True)):
        assert criterion_of(said, RETAIN, VAL).is_forgotten(reader) is forgotten


class Unsure(Reader):
    """It gives what it says a probability of 0.7, and each of three others 0.1."""

    def forward(self, images):
        return super().forward(images) / SURE * math.log(7)


def test_what_counts_is_how_sure_the_network_is():
    """All are recognised, forgotten and unseen ones alike, and yet it is surer of the first."""
    split = split_of(right(0, 2), RETAIN, right(0, 2))
    criterion = StopCriterion(Unsure(CLASSES), split, Run(device="cpu"), 1.0)
    assert criterion.wanted == pytest.approx(70)
    assert not criterion.is_forgotten(Reader(CLASSES))
    less = Unsure(CLASSES)
    less.slope.data.mul_(0.99)
    assert criterion.is_forgotten(less)
    assert criterion.holds(less)


# --- what it may cost ---------------------------------------------------------------------


def test_the_retain_set_may_lose_what_is_to_be_spent_and_no_more():
    """It knows 7 of 8 images; turned round, it is right on 1 of them by being wrong."""
    retain = [*right(0, 7), *wrong(0)]
    reader = Reader(2)
    for max_accuracy_drop, holds in ((74.9, False), (75.1, True)):
        criterion = StopCriterion(
            reader, split_of(right(0), retain, []), Run(device="cpu"), max_accuracy_drop
        )
        assert criterion.lowest == pytest.approx(87.5 - max_accuracy_drop)
        assert criterion.holds(reader)
        reader.slope.data.neg_()
        assert criterion.holds(reader) is holds
        reader.slope.data.neg_()


def test_outputs_that_are_no_numbers_are_never_right():
    unreadable = [(0, NOT_A_NUMBER)]
    criterion = criterion_of(right(0, 3) + unreadable, [*RETAIN, *unreadable], VAL)
    reader = Reader(CLASSES)
    assert criterion.lowest == -math.inf
    assert criterion.is_forgotten(reader)
    criterion = criterion_of(right(0, 3), RETAIN, VAL)
    assert criterion.holds(reader)
    assert not criterion.is_forgotten(reader)
    for value in (math.nan, math.inf):
        reader.slope.data.fill_(value)
        assert not criterion.holds(reader)
        assert criterion.is_forgotten(reader)


def test_some_images_are_drawn_once_and_their_looks_are_counted(monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 4)
    run, reader = Run(device="cpu", seed=3), Reader(CLASSES)
    retain = right(1, 50) + wrong(1, 50)
    criterion = criterion_of(right(1, 30), retain, right(1, 7), run=run)
    assert run.samples_seen == 4 + 7
    share = criterion.lowest + 1
    assert share % 25 == 0
    assert all(criterion.holds(reader) for _ in range(3))
    assert run.samples_seen == 4 + 7 + 3 * 4
    again = [
        criterion_of(right(1, 30), retain, right(1, 7), run=Run(device="cpu", seed=seed)).lowest + 1
        for seed in (3, *range(20))
    ]
    assert again[0] == share
    assert len(set(again)) > 1


# --- the search ---------------------------------------------------------------------------


class MadeUp:
    """The forget set is forgotten from one scale on; the retain set holds below another."""

    max_accuracy_drop = 1.0
    until_forgotten = True

    def __init__(self, forgotten, spent):
        self.forgotten, self.spent, self.at, self.looks = forgotten, spent, None, 0

    def write(self, scale):
        self.at = scale

    def is_forgotten(self, _model):
        self.looks += 1
        return self.at >= self.forgotten

    def holds(self, _model):
        return self.at < self.spent

    def shortfall(self):
        return "shortfall"


def search(forgotten, spent, unit=1.0, until_forgotten=True):
    """The scale that is found, in units of the weights' length, and the notes."""
    criterion, run = MadeUp(forgotten * unit, spent * unit), Run(device="cpu")
    criterion.until_forgotten = until_forgotten
    direction = torch.tensor([0.0, 3.0, -4.0])
    weights = torch.tensor([3.0, 0.0, 4.0]) * unit
    found = farthest(criterion, None, criterion.write, weights, direction, run)
    assert criterion.at == found, "the weights must be left at the scale that is returned"
    assert criterion.looks < 30
    return found / unit, run.notes


BOUNDARIES = [1.1 * FIRST, 0.0123, 0.4, 1.0, 77.0, 0.9 * LAST]


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_it_stops_as_soon_as_enough_is_forgotten(boundary, unit):
    found, notes = search(boundary, math.inf, unit)
    assert boundary <= found < 1.05 * boundary
    assert notes == []


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("forgotten", [1.2, math.inf])
def test_it_goes_as_far_as_the_retain_set_can_bear(boundary, forgotten, unit):
    found, (note,) = search(forgotten * boundary, boundary, unit)
    assert boundary / 1.05 < found < boundary
    assert note.startswith("shortfall")


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_where_the_forget_set_sets_no_end_the_retain_set_does(boundary):
    found, notes = search(math.inf, boundary, until_forgotten=False)
    assert boundary / 1.05 < found < boundary
    assert notes == []


@pytest.mark.parametrize("boundary", [0.5 * FIRST, 0.05 * FIRST])
def test_boundaries_below_the_first_step_are_found_less_finely(boundary):
    found, notes = search(boundary, math.inf)
    assert boundary <= found < 1.5 * boundary
    assert notes == []
    found, _ = search(math.inf, boundary)
    assert boundary / 1.5 < found < boundary


def test_what_bears_nothing_at_all_is_not_moved():
    found, (_,) = search(math.inf, 0.0)
    assert found == 0


def test_what_is_forgotten_already_is_not_moved_and_that_is_said():
    found, notes = search(0.0, math.inf)
    assert found == 0
    assert notes == [module.ALREADY]


def test_without_an_end_by_forgetting_nothing_is_ever_forgotten():
    run, reader = Run(device="cpu"), Reader(CLASSES)
    split = split_of(wrong(0), RETAIN, VAL)
    assert StopCriterion(reader, split, run, 1.0).is_forgotten(reader)
    before = run.samples_seen
    criterion = StopCriterion(reader, split, run, 1.0, until_forgotten=False)
    assert run.samples_seen - before == len(RETAIN), "validation images are not looked at"
    assert not criterion.is_forgotten(reader)


def test_what_never_ends_goes_a_thousand_times_the_weights_and_says_so():
    found, (note,) = search(math.inf, math.inf)
    assert LAST <= found < 4 * LAST
    assert "a step of 1,000 times the weights' length" in note


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_there_may_be_nothing_to_move_by(value):
    criterion, run = MadeUp(1.0, 1.0), Run(device="cpu")
    direction = torch.full((3,), value)
    assert farthest(criterion, None, criterion.write, torch.ones(3), direction, run) == 0
    assert criterion.at == 0
    assert "nothing to move the weights by" in run.notes[0]


def test_a_shortfall_says_what_was_to_be_spent():
    criterion = criterion_of(right(0), RETAIN, VAL, max_accuracy_drop=2.5)
    assert "more than 2.5 points (max_accuracy_drop) before" in criterion.shortfall()
    assert "1 point (" in criterion_of(right(0), RETAIN, VAL, max_accuracy_drop=1).shortfall()


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("iu", {"alpha": 0.1, "max_accuracy_drop": 2.0}),
        ("ff", {"alpha": 0.0, "max_accuracy_drop": 2.0}),
        ("ga", {"lr": 0.1, "max_accuracy_drop": 2.0}),
        ("ga", {"lr": 0.1, "step": 0.1}),
    ],
)
def test_what_has_no_effect_beside_a_given_scale_is_refused(method, settings):
    with pytest.raises(UserError, match=r"has no effect beside (alpha|lr)=.*; leave one of them"):
        make_method(method, settings)
    make_method(
        method, {name: value for name, value in settings.items() if name in ("alpha", "lr")}
    )


# --- moving -------------------------------------------------------------------------------


def test_a_given_scale_is_the_scale():
    model, run = Reader(CLASSES), Run(device="cpu")
    move(FreeWeights(model, Mask({})), model, torch.tensor([2.0]), 0.25, run)
    assert float(model.slope.detach()) == 1.5
    assert run.metrics["alpha"] == 0.25
    assert run.samples_seen == 0


def test_a_scale_by_the_rule_leaves_the_network_there():
    """The slope falls from 1; where it turns negative, nothing is recognised any more."""
    model, run = Reader(CLASSES), Run(device="cpu")
    split = split_of(right(3), RETAIN, VAL)
    criterion = StopCriterion(model, split, run, 100.0)
    move(FreeWeights(model, Mask({})), model, torch.tensor([-2.0]), criterion, run)
    assert 0.5 <= run.metrics["alpha"] < 0.5 * 1.05
    assert float(model.slope.detach()) == pytest.approx(1 - 2 * run.metrics["alpha"], abs=1e-6)
    assert run.notes == []
