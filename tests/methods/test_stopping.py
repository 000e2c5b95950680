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
from mu.methods import METHODS, make_method, method_class
from mu.methods.steps import criterion as module
from mu.methods.steps.criterion import OVERSHOOT, Standing, StopCriterion
from mu.methods.steps.search import FIRST, LAST, farthest, move
from mu.methods.stopping import Stopping
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.helpers import refused
from tests.methods.networks import STEP, SURE, Reader

CLASSES = 4
NOT_A_NUMBER = -1
RULED = sorted(name for name in METHODS if issubclass(method_class(name), Stopping))


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
    # Both clean samples are known, and one of two poisoned ones is still called 0.
    assert found.excess(Reader(CLASSES)) == pytest.approx(100 * (3 - 1.5) / 4, abs=0.1)


def test_samples_of_classes_without_validation_images_do_not_count_and_a_note_says_how_many():
    run = Run(device="cpu")
    criterion = criterion_of(wrong(0, 2) + right(3, 6), [*RETAIN, *right(3)], VAL, run=run)
    assert criterion.wanted == pytest.approx(75)
    assert criterion.excess(Reader(CLASSES)) == pytest.approx(-75)
    assert run.notes == [
        "75.0 % of the forget set are of classes without a validation image; how far to go was "
        "told by the others"
    ]


@pytest.mark.parametrize("name", [one for one in RULED if not method_class(one).classes_only])
@pytest.mark.parametrize(
    ("forget", "val"), [(right(0, 2), []), (right(3, 2), VAL)], ids=["none at all", "of the class"]
)
def test_without_anything_to_go_by_the_rule_refuses_before_any_work(name, forget, val):
    split = split_of(forget, [*RETAIN, *right(3)], val)
    scale = method_class(name).scale[0]
    with refused("nothing says how far to go", f"give {scale}, or", "val_share", "trained_on"):
        make_method(name).check(split)
    make_method(name, {scale: 0.1}).check(split)
    with refused("nothing says how far to go"):
        StopCriterion(Reader(CLASSES), split, Run(device="cpu"), 1.0)


@pytest.mark.parametrize("name", RULED)
def test_a_class_that_goes_as_a_whole_needs_no_unseen_images(name):
    split = split_of(right(3, 2), RETAIN, [])
    make_method(name).check(split)
    assert StopCriterion(Reader(CLASSES), split, Run(device="cpu"), 1.0).wanted == 0


def test_the_distance_has_two_sides():
    """Of class 1 half of the unseen images are recognised."""
    reader = Reader(CLASSES)
    for said, excess, forgotten, overshot in (
        (right(1, 2), 50, False, False),
        (right(1) + wrong(1), 0, True, False),
        (wrong(1, 2), -50, True, True),
    ):
        found = criterion_of(said, RETAIN, VAL).standing(reader)
        assert found.excess == pytest.approx(excess)
        assert found.distance == pytest.approx(abs(excess))
        assert (found.is_forgotten, found.overshot) == (forgotten, overshot)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Standing(40.0, 1.0), Standing(0.0, 1.1)),  # what costs too much comes last
        (Standing(2.0, 1.0), Standing(3.0, -5.0)),
        (Standing(0.0, 1.0), Standing(0.1, 0.0)),  # not yet forgotten
        (Standing(0.0, 0.5), Standing(0.0, 0.6)),
        (Standing(-1.0, 0.5), Standing(0.0, 0.6)),  # within the tolerance it is forgotten
        (Standing(0.4, 0.5), Standing(-1.5, 0.5)),  # and beyond it, too much
        (Standing(9.0, 1.0), Standing(-math.inf, math.inf)),
    ],
)
def test_what_is_affordable_and_near_comes_first(better, worse):
    criterion = criterion_of(right(1), RETAIN, VAL)
    assert criterion.rank(better) < criterion.rank(worse)


@pytest.mark.parametrize(
    ("standing", "met"),
    [
        (Standing(-1.0, 0.0), True),
        (Standing(0.0, 0.0), True),  # of the retain set all was right, so none can be gained
        (Standing(0.0, 0.1), False),
        (Standing(0.1, 0.0), False),
        (Standing(-1.1, 0.0), False),
    ],
)
def test_nothing_ranks_before_what_meets_the_criterion(standing, met):
    criterion = criterion_of(right(1), RETAIN, VAL)
    assert criterion.is_met(standing) == met
    one_wrong = criterion_of(right(1), [*RETAIN, *wrong(2)], VAL)
    assert not one_wrong.is_met(standing)  # it can be learnt
    assert one_wrong.is_met(Standing(0.0, -100 / 8))


class Unsure(Reader):
    """It gives what it says a probability of 0.7, and each of three others 0.1."""

    def forward(self, images):
        return super().forward(images) / SURE * math.log(7)


def test_what_counts_is_how_sure_the_network_is():
    """All are recognised, forgotten and unseen ones alike, and yet it is surer of the first."""
    split = split_of(right(0, 2), RETAIN, right(0, 2))
    criterion = StopCriterion(Unsure(CLASSES), split, Run(device="cpu"), 1.0)
    assert criterion.wanted == pytest.approx(70)
    assert criterion.excess(Reader(CLASSES)) == pytest.approx(30)
    less = Unsure(CLASSES)
    less.slope.data.mul_(0.99)
    found = criterion.standing(less)
    assert -1 < found.excess < 0
    assert found.drop == 0


def test_what_chance_explains_is_half_the_standard_error_of_two_means_of_unseen_images():
    criterion = criterion_of([*right(0, 2), *right(1), *right(2)], RETAIN, VAL)
    sure = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0])
    assert criterion.chance == pytest.approx(50 * sure.std() * math.sqrt(1 / 4 + 1 / len(sure)))
    # Half of the forget set is not to be known at all, and chance has no part in that.
    mixed = criterion_of([*right(3, 2), *right(0, 2)], RETAIN, VAL)
    four = np.array([1, 1, 1, 0])
    assert mixed.chance == pytest.approx(25 * four.std() * math.sqrt(1 / 2 + 1 / 4))
    assert criterion_of(right(3, 2), RETAIN, VAL).chance == 0


# --- what it may cost ---------------------------------------------------------------------


def test_the_retain_set_may_lose_what_is_to_be_spent_and_no_more():
    """It knows 7 of 8 images; turned round, it is right on 1 of them by being wrong."""
    retain = [*right(0, 7), *wrong(0)]
    reader = Reader(2)
    for max_accuracy_drop, affords in ((74.9, False), (75.1, True)):
        criterion = StopCriterion(
            reader, split_of(right(0), retain, right(0)), Run(device="cpu"), max_accuracy_drop
        )
        assert criterion.standing(reader).drop == 0
        reader.slope.data.neg_()
        found = criterion.standing(reader)
        assert found.drop == 75
        assert criterion.affords(found) is affords
        reader.slope.data.neg_()


def test_outputs_that_are_no_numbers_are_never_right():
    criterion = criterion_of(right(0, 3), RETAIN, VAL)
    reader = Reader(CLASSES)
    assert criterion.affords(criterion.standing(reader))
    for value in (math.nan, math.inf):
        reader.slope.data.fill_(value)
        found = criterion.standing(reader)
        assert found == (-math.inf, math.inf)
        assert not criterion.affords(found)


def test_some_images_are_drawn_once_and_their_looks_are_counted(monkeypatch):
    monkeypatch.setattr(module, "LOOKED_AT", 4)
    run, reader = Run(device="cpu", seed=3), Reader(CLASSES)
    retain = right(1, 50) + wrong(1, 50)
    criterion = criterion_of(right(1, 30), retain, right(1, 7), run=run)
    assert run.samples_seen == 4 + 7
    drops = {criterion.drop(Constant(CLASSES)) for _ in range(3)}
    assert len(drops) == 1
    assert run.samples_seen == 4 + 7 + 3 * 4
    criterion.excess(reader)
    assert run.samples_seen == 4 + 7 + 4 * 4
    again = [
        criterion_of(right(1, 30), retain, right(1, 7), run=Run(device="cpu", seed=seed)).drop(
            Constant(CLASSES)
        )
        for seed in (3, *range(20))
    ]
    assert again[0] == drops.pop()
    assert all(drop % 25 == 0 for drop in again)
    assert len(set(again)) > 1


class Constant(Reader):
    """It calls every image 0."""

    def forward(self, images):
        logits = torch.zeros(len(images), self.classes)
        logits[:, 0] = SURE
        return logits * self.slope


# --- the search ---------------------------------------------------------------------------


class MadeUp(StopCriterion):
    """The forget set is forgotten from one scale on; the retain set affords it below another.

    How sure the network is falls from 100 with the logarithm of the scale, ``steep`` points for
    each factor of e.
    """

    chance = 0.0

    def __init__(self, forgotten, spent, steep):
        self.forgotten, self.spent, self.steep = forgotten, spent, steep
        self.max_accuracy_drop, self.at, self.looks = 1.0, None, 0

    def write(self, scale):
        self.at = scale

    def excess(self, _model):
        self.looks += 1
        if self.at == 0 or self.forgotten == math.inf:
            return 100.0 if self.forgotten else 0.0
        if self.forgotten == 0:
            return 0.0
        return min(100.0, -self.steep * math.log(self.at / self.forgotten))

    def drop(self, _model):
        return 2.0 if self.at >= self.spent else 0.0


def search(forgotten, spent, unit=1.0, steep=10.0):
    """The scale that is found, in units of the weights' length, and the notes."""
    criterion, run = MadeUp(forgotten * unit, spent * unit, steep), Run(device="cpu")
    direction = torch.tensor([0.0, 3.0, -4.0])
    weights = torch.tensor([3.0, 0.0, 4.0]) * unit
    found = farthest(criterion, None, criterion.write, weights, direction, run)
    assert criterion.looks < 40
    return found / unit, run.notes


BOUNDARIES = [1.1 * FIRST, 0.0123, 0.4, 1.0, 77.0, 0.9 * LAST]


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_it_stops_as_soon_as_enough_is_forgotten(boundary, unit):
    found, notes = search(boundary, math.inf, unit)
    assert boundary <= found < 1.05 * boundary
    assert notes == []


@pytest.mark.parametrize("steep", [100.0, 1000.0])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_where_little_more_forgets_much_more_it_is_narrowed_down_further(boundary, steep):
    found, notes = search(boundary, math.inf, steep=steep)
    assert boundary <= found
    assert steep * math.log(found / boundary) <= OVERSHOOT
    assert notes == []


@pytest.mark.parametrize("boundary", [0.0123, 1.0])
def test_what_can_only_be_forgotten_too_much_is_left_better_known(boundary):
    """A step function: what is just short of it is nearer to what is wanted than what is beyond."""
    criterion, run = MadeUp(boundary, math.inf, 1.0), Run(device="cpu")
    criterion.excess = lambda _model: 3.0 if criterion.at < boundary else -50.0
    found = farthest(criterion, None, criterion.write, torch.ones(2), torch.ones(2), run)
    assert 0 <= found < boundary
    assert run.metrics["excess"] == 3.0


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("forgotten", [1.2, math.inf])
def test_it_goes_as_far_as_the_retain_set_can_bear(boundary, forgotten, unit):
    found, (note,) = search(forgotten * boundary, boundary, unit)
    if forgotten < math.inf:
        assert boundary / 1.05 < found < boundary
    else:
        assert found == 0, "what forgets nothing is not worth its cost"
    assert note.startswith("the retain set would have lost more than 1 point")


@pytest.mark.parametrize("boundary", [0.5 * FIRST, 0.05 * FIRST])
def test_boundaries_below_the_first_step_are_found_less_finely(boundary):
    found, notes = search(boundary, math.inf, steep=0.1)
    assert boundary <= found < 1.5 * boundary
    assert notes == []
    found, _ = search(1.5 * boundary, boundary)
    assert boundary / 1.5 < found < boundary


def test_what_bears_nothing_at_all_is_not_moved():
    found, (_,) = search(math.inf, 0.0)
    assert found == 0


def test_what_is_forgotten_already_is_not_moved_and_that_is_said():
    found, notes = search(0.0, math.inf)
    assert found == 0
    assert notes == [module.ALREADY]


def test_what_never_ends_goes_a_thousand_times_the_weights_and_says_so():
    found, (note,) = search(math.exp(20), math.inf, steep=1.0)
    assert LAST <= found < 4 * LAST
    assert "a step of 1,000 times the weights' length" in note


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_there_may_be_nothing_to_move_by(value):
    criterion, run = MadeUp(1.0, 1.0, 10.0), Run(device="cpu")
    direction = torch.full((3,), value)
    assert farthest(criterion, None, criterion.write, torch.ones(3), direction, run) == 0
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


def test_a_scale_that_is_given_is_the_scale():
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
