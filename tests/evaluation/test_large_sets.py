"""Sets too large to keep their logits: every number but those that need whole vectors is there."""

from dataclasses import fields
from functools import cache

import numpy as np
import pytest
import torch

from mu.checkpoints import forget_split
from mu.evaluation import challenge as challenge_module
from mu.evaluation.case import Case, Model
from mu.evaluation.challenge import Challenge
from mu.evaluation.distance.divergence import divergences
from mu.evaluation.measurements import GROUPS, Selection, check_needs, measurements
from mu.evaluation.membership import membership, rates_of_all
from mu.evaluation.outputs import MOST_LOGITS, Outputs, SplitOutputs
from mu.evaluation.planted import CONFUSION
from mu.evaluation.references import attack
from mu.evaluation.unlearning import predict_split
from mu.report import outcome_plots, plots
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.evaluation.distance.looks import outputs
from tests.helpers import make_checkpoint, make_dataset, refused

# Which networks relearn how soon is no matter here, only that all numbers are the same.
pytestmark = pytest.mark.usefixtures("relearned_soon")
CLASSES = 3
DATA = make_poison((1, 5, 9, 40)).apply(make_dataset(train=600, test=230, classes=CLASSES))
RETAIN_ONLY = 231 * CLASSES  # numbers that the retain set has more of, and no other part
LIMITS = {"the retain set": RETAIN_ONLY, "all sets": 0}


@cache
def case(forget, most=MOST_LOGITS):
    """A model with everything that it can be compared with, as it is seen under a limit."""
    checkpoints = [make_checkpoint(DATA, seed=seed) for seed in (3, 4, 5, 6)]
    split, run = forget_split(checkpoints[0], DATA, forget), Run(device="cpu")
    looks = [
        Model(one, predict_split(one.model, split, Run(device="cpu"), most_logits=most))
        for one in checkpoints
    ]
    said = [one.outputs for one in looks]
    return Case(looks[0], split, run, 1, looks[1], looks[2], said[:2], said[2:])


@cache
def found(forget, most=MOST_LOGITS):
    return measurements(case(forget, most), Selection.parse("all"))


VECTORS = {"MIA_prob", "MIA_privacy_prob"}
DIVERGENCES = {
    "the retain set": {"js_retain"},
    "all sets": {"js_forget", "js_retain", "js_test"},
}
NAMES = sorted({name for group in GROUPS.values() for name in group.names})


def lost(names, large):
    """Those that take whole vectors, and rates and intervals of theirs."""
    of_vectors = {one for one in names if any(one.startswith(name) for name in VECTORS)}
    return of_vectors | DIVERGENCES[large]


@pytest.mark.parametrize("large", LIMITS)
@pytest.mark.parametrize("forget", ["random:10%", "class:1"])
def test_every_metric_is_what_it_is_with_logits(forget, large):
    whole, without = found(forget), found(forget, LIMITS[large])
    pairs = {one: (value, without[one]) for one, value in whole.items() if one in without}
    assert pairs.keys() == whole.keys() - lost(whole, large)
    same = {one: pair[1] == pytest.approx(pair[0], rel=0, abs=1e-12) for one, pair in pairs.items()}
    assert {one: pairs[one] for one, equal in same.items() if not equal} == {}


@pytest.mark.parametrize("large", LIMITS)
@pytest.mark.parametrize("forget", ["random:10%", "class:1"])
def test_nothing_else_is_left_out(forget, large):
    whole, without = set(found(forget)), set(found(forget, LIMITS[large]))
    assert whole - without == lost(whole, large)
    assert without <= whole
    assert "MIA_prob_auc" in whole
    too_few = {name for name in NAMES if "_tpr_at_" in name}  # images for these rates
    # Networks that have learned nothing have no depth, and no two classes were confused.
    missing = set(NAMES) - whole - {"ASR_source", "depth", "depth_logit_mask", *CONFUSION} - too_few
    assert missing == (set() if forget == "class:1" else {"TA_forgotten", "prototype_acc"})


def test_rates_that_take_many_images():
    whole = SplitOutputs(outputs(60, seed=1), outputs(2100, seed=2), outputs(2050, seed=3), None)
    reduced = SplitOutputs(whole.forget, whole.retain.reduced(), whole.test, None)
    expected, rates = rates_of_all(whole, seed=0), rates_of_all(reduced, seed=0)
    assert rates == {n: v for n, v in expected.items() if "prob" not in n}
    assert "MIA_privacy_threshold_tpr_at_01_lo" in rates


def test_one_large_part_of_any_kind_is_enough():
    whole = case("class:1").model.outputs
    parts = {field.name: getattr(whole, field.name) for field in fields(whole)}
    expected = membership(whole, seed=0)
    for name, part in parts.items():
        assert membership(SplitOutputs(**parts | {name: part.reduced()}), seed=0) == {
            key: value for key, value in expected.items() if key not in VECTORS
        }


@pytest.mark.parametrize("place", [0, 1])
def test_one_model_without_logits_is_enough(place):
    whole = [case("random:10%").model.outputs, case("random:10%").oracle.outputs]
    looks = list(whole)
    looks[place] = case("random:10%", RETAIN_ONLY).unlearned[0]
    if place:
        looks[place] = case("random:10%", RETAIN_ONLY).oracle.outputs
    expected = divergences(*whole)
    assert divergences(*looks) == {n: v for n, v in expected.items() if n != "js_retain"}


@pytest.mark.parametrize("place", [0, 1])
def test_a_model_that_has_diverged_is_refused_all_the_same(place):
    whole = case("random:10%").model.outputs
    logits = whole.retain.logits.clone()
    logits[3, (int(whole.retain.labels[3]) + 1) % CLASSES] = torch.inf  # not the true class's
    spoilt = Outputs(logits, whole.retain.labels)
    looks = [
        SplitOutputs(whole.forget, retain, whole.test, None)
        for retain in (spoilt.reduced(), whole.retain)
    ]
    with pytest.raises(ValueError, match="numbers; a model has diverged"):
        divergences(*(looks if place else reversed(looks)))


def test_attacks_with_references_need_no_logits():
    draws = np.random.default_rng(0)
    seen = np.repeat([[True], [False]], 2, 0) ^ (draws.random(20) < 0.5)
    views = [
        {"attacked": outputs(20, seed=n), "bystanders": outputs(30, seed=10 + n)} for n in range(5)
    ]
    reduced = [{part: one.reduced() for part, one in view.items()} for view in views]
    expected = attack(views[0], views[1:], seen, gamma=1.0)
    scores = attack(reduced[0], reduced[1:], seen, gamma=1.0)
    assert all(np.array_equal(scores[kind], expected[kind]) for kind in ("lira", "rmia"))


@pytest.mark.parametrize("most", [MOST_LOGITS, RETAIN_ONLY, 0])
def test_the_whole_test_set_has_all_test_images(most):
    whole = outcome_plots.whole_test(case("class:1", most).model.outputs)
    assert sorted(whole.labels.tolist()) == sorted(DATA.test.labels.tolist())
    assert whole.has_logits == (most > 0)
    assert set(outcome_plots.whole_test(case("random:10%").model.outputs).labels.tolist()) == {
        0,
        1,
        2,
    }


@pytest.mark.usefixtures("painted")
@pytest.mark.slow
@pytest.mark.parametrize("large", LIMITS)
def test_the_same_pictures(large, tmp_path):
    for most in (MOST_LOGITS, LIMITS[large]):
        one, folder = case("class:1", most), tmp_path / str(most)
        outcome_plots.plot_all(one, folder)
        plots.plot_confidence(one.original.outputs, one.model.outputs, folder / "confidence.png")
    pictures = sorted(folder.iterdir())
    assert len(pictures) == 6
    for picture in pictures:
        other = tmp_path / str(MOST_LOGITS) / picture.name
        assert picture.read_bytes() == other.read_bytes(), picture.name


# --- what the user is told ----------------------------------------------------------------


def notes(forget, most):
    checkpoint, run = make_checkpoint(DATA), Run(device="cpu")
    split = forget_split(checkpoint, DATA, forget)
    for _ in range(2):
        predict_split(checkpoint.model, split, run, most_logits=most)
    return run.notes, split


def test_the_run_says_once_what_is_left_out():
    found, split = notes("random:10%", RETAIN_ONLY)
    assert found == [
        f"the retain set is too large to keep its logits ({len(split.retain)} samples x 3 classes)"
        ", so MIA_prob and js_retain are left out"
    ]


def test_each_large_part_has_its_note():
    found, _ = notes("class:1", 0)
    assert [one.split(" is too")[0] for one in found] == [
        "the forget set", "the retain set", "the test set", "the test set of forgotten classes",
    ]  # fmt: skip
    assert found[-1].endswith("so MIA_prob is left out")


def test_nothing_is_said_of_sets_that_fit():
    assert notes("class:1", MOST_LOGITS)[0] == []


@pytest.mark.parametrize("name", ["MIA_prob", "MIA_prob,js_retain", "MIA_privacy_prob_auc"])
def test_what_is_asked_for_by_name_and_cannot_be_is_refused(name):
    selection = Selection.parse(name)
    check_needs(case("random:10%"), selection)
    with refused(name.split(",")[0], "too large"):
        check_needs(case("random:10%", RETAIN_ONLY), selection)


def test_what_can_be_measured_beside_it_is():
    some = Selection.parse("MIA_prob,RA,js_retain,js_test,agreement_retain")
    measured = measurements(case("random:10%", RETAIN_ONLY), some)
    assert set(measured) == {"RA", "js_test", "agreement_retain"}
    assert set(measurements(case("random:10%", RETAIN_ONLY), Selection.parse("js_test")))
    assert measurements(case("random:10%", 0), Selection.parse("membership"))


@pytest.mark.parametrize(("forget", "more"), [("random:10%", "population"), ("class:1", "samples")])
def test_an_attack_that_looks_at_too_much_is_refused_at_once(forget, more, monkeypatch):
    split = case(forget).split
    game = Challenge.of(split, 0)
    count = len(getattr(game, more))
    assert count == max(len(game.samples), len(game.population))
    monkeypatch.setattr(challenge_module, "MOST_LOGITS", count * CLASSES)
    Challenge.of(split, 0)
    monkeypatch.setattr(challenge_module, "MOST_LOGITS", count * CLASSES - 1)
    with refused("lira keeps the logits", f"{count} samples x 3 classes"):
        Challenge.of(split, 0)
