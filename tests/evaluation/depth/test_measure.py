"""What the depth must say of networks whose depth is known: the laws, and the notes."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import mu
from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.evaluation.case import Case, Model
from mu.evaluation.depth import measure
from mu.evaluation.depth.measure import NAMES, OF_ORACLE, depth
from mu.evaluation.depth.relearn import Relearning
from mu.evaluation.measurements import Selection, measurements
from mu.evaluation.unlearning import predict_split
from mu.runs import Run
from mu.training import Training
from tests.helpers import bits, make_dataset, make_recipe

DATA = make_dataset(train=120, test=60, classes=4)
FORGET = "class:1"


@cache
def trained() -> Checkpoint:
    training = Training(epochs=8, batch_size=16, augment="none")
    recipe = replace(make_recipe(DATA), training=training)
    return mu.train_original(DATA, recipe, Run(device="cpu", show_progress=False))


@cache
def split_of(forget: str) -> ForgetSplit:
    return mu.forget_split(trained(), DATA, forget)


@cache
def retrained(forget: str, seed: int = 0) -> Checkpoint:
    checkpoint = copy.deepcopy(trained())
    run = Run(device="cpu", seed=seed, show_progress=False)
    mu.make_method("retrain").unlearn(checkpoint, split_of(forget), run)
    return checkpoint


@cache
def masked() -> Checkpoint:
    """The original, with the output of the forgotten class switched off and nothing unlearned."""
    checkpoint = copy.deepcopy(trained())
    head = [one for one in checkpoint.model.modules() if isinstance(one, nn.Linear)][-1]
    with torch.no_grad():
        head.weight[1] = head.bias[1] = 0
    return checkpoint


@cache
def vandal() -> Checkpoint:
    checkpoint = copy.deepcopy(trained())
    checkpoint.model = checkpoint.spec.recipe.model.build(99).eval()
    checkpoint.mask.apply(checkpoint.model)
    return checkpoint


def case(checkpoint: Checkpoint, oracle: Checkpoint | None, forget: str = FORGET) -> Case:
    its = None if oracle is None else model(oracle, forget)
    ours, original = model(checkpoint, forget), model(trained(), forget)
    return Case(ours, split_of(forget), Run(device="cpu"), 0, original, its)


MODELS: dict[tuple[int, str], Model] = {}  # with their checkpoints, whose numbers so stay theirs


def model(one: Checkpoint, forget: str) -> Model:
    if (id(one), forget) not in MODELS:
        outputs = predict_split(one.model, split_of(forget), Run(device="cpu"))
        MODELS[id(one), forget] = Model(one, outputs)
    return MODELS[id(one), forget]


@cache
def found(kind: str) -> dict[str, float]:
    makers = {"original": trained, "masked": masked, "vandal": vandal}
    other = {"oracle": retrained(FORGET), "second oracle": retrained(FORGET, 1)}
    checkpoint = other[kind] if kind in other else makers[kind]()
    return depth(case(checkpoint, retrained(FORGET)))


def test_the_originals_are_what_the_laws_are_about() -> None:
    metrics = mu.evaluate(trained().model, split_of(FORGET), Run(device="cpu"))
    oracles = mu.evaluate(retrained(FORGET).model, split_of(FORGET), Run(device="cpu"))
    assert metrics["UA"] < 5
    assert oracles["UA"] == 100
    assert oracles["RA"] > 95


def test_the_oracle_itself_is_as_deep_as_the_oracle() -> None:
    its = found("oracle")
    assert its["depth"] == 100
    assert its["cka_oracle"] == 1
    others = set(OF_ORACLE) - {"relearn_lr"}
    for name in others:
        assert its[name] == its[f"{name}_oracle"]
    assert set(its) == {*NAMES, *(f"{name}_oracle" for name in others)}


def test_the_original_has_forgotten_nothing() -> None:
    its = found("original")
    assert (its["relearn_steps"], its["depth"], its["cka_original"]) == (0, 0, 1)


def test_an_output_that_is_pushed_far_down_is_shallow_too() -> None:
    pushed = copy.deepcopy(trained())
    mu.make_method("logit_mask").unlearn(pushed, split_of(FORGET), Run(device="cpu"))
    its = depth(case(pushed, retrained(FORGET)))
    assert its["depth"] == found("masked")["depth"] == its["depth_logit_mask"]
    assert found("original")["depth_logit_mask"] == its["depth"]  # whatever is measured beside it


def test_a_masked_output_is_shallow() -> None:
    its, original = found("masked"), found("original")
    assert 0 < its["depth"] < 50
    assert its["cka_original"] == 1
    assert its["probe_acc"] == original["probe_acc"]
    unseen = mu.evaluate(masked().model, split_of(FORGET), Run(device="cpu"))["TA_forgotten"]
    assert its["prototype_acc"] == original["prototype_acc"] > unseen + 80
    assert its["prototype_acc"] >= its["prototype_acc_oracle"]


@pytest.mark.slow
def test_another_oracle_is_nearly_as_deep() -> None:
    assert 60 < found("second oracle")["depth"] < 170
    assert found("second oracle")["cka_oracle"] > found("vandal")["cka_oracle"]


def test_random_weights_are_like_neither() -> None:
    its = found("vandal")
    assert its["cka_oracle"] < 0.9
    assert its["cka_original"] < 0.9


def contents(model: Model | None) -> dict[str, bytes]:
    assert model is not None
    state = model.checkpoint.model.state_dict()
    return {name: bits(value).tobytes() for name, value in state.items()}


def test_models_and_numbers_stay_as_they_are_and_a_seed_decides() -> None:
    one = case(masked(), retrained(FORGET))
    models = [one.model, one.oracle, one.original]
    before = [contents(model) for model in models]
    assert depth(one) == found("masked")
    # Steps are few, and two seeds may take as many.
    others = (depth(replace(one, run=Run(device="cpu", seed=seed))) for seed in range(5, 10))
    assert any(other != found("masked") for other in others)
    for model, values in zip(models, before, strict=True):
        assert contents(model) == values


def test_what_is_known_of_the_oracle_is_taken_and_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = depth(case(retrained(FORGET), None))
    assert not {name for name in alone if name.endswith("_oracle") or name == "depth"}
    whole, measured = found("masked"), []
    steps = Relearning.quickest
    monkeypatch.setattr(
        Relearning, "quickest", lambda *a, **b: measured.append(a[1]) or steps(*a, **b)
    )
    one = case(masked(), retrained(FORGET))
    assert depth(one, {name: alone[name] for name in OF_ORACLE}) == whole
    assert measured == [one.model.checkpoint]


def test_where_the_oracle_knows_the_samples_there_is_no_depth_and_a_note() -> None:
    one = case(trained(), trained(), "random:10%")
    its = depth(one)
    assert its["relearn_steps"] == its["relearn_steps_oracle"] == 0
    assert not {"depth", "prototype_acc", "prototype_acc_oracle"} & set(its)
    assert "depth_logit_mask" not in its
    assert {"probe_acc", "probe_acc_oracle", "cka_oracle"} <= set(its)
    assert [note for note in one.run.notes if note.startswith("no depth: the oracle needs no")]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected", "words"),
    [
        (None, 60, 1e4 / 30, "depth is a bound, at least"),  # 200, the most
        (None, 12, 400, "depth is a bound, at least"),  # 48, as many as anybody needs to know
        (50, None, 25, "depth is a bound, at most"),
        (2, 9, None, "no depth: the oracle needs no steps, or next to none"),
        (None, None, None, "neither"),
        (30, 40, 75, ""),
    ],
)
def test_too_many_steps_are_said(
    ours: int | None,
    theirs: int | None,
    expected: float | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Relearning, "fine", lambda *_: (theirs, 0.002))
    monkeypatch.setattr(Relearning, "quickest", lambda *_: ours)
    monkeypatch.setattr(measure, "_features", lambda *_: {})
    one = case(masked(), retrained(FORGET))
    its = depth(one)
    assert its.get("depth") == (None if expected is None else pytest.approx(expected))
    most = min(200, 4 * (theirs or 200))
    assert its["relearn_steps"] == pytest.approx((most if ours is None else ours) / 5)
    assert its["relearn_steps_oracle"] == pytest.approx((theirs or 200) / 5)
    notes = "\n".join(one.run.notes)
    assert words in notes
    assert (f"relearn_steps: not within {most / 5:g} steps" in notes) == (ours is None)
    assert ("relearn_steps_oracle: not within 40 steps" in notes) == (theirs is None)


def test_what_an_oracles_run_has_logged_says_at_which_rate_and_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(Relearning, "quickest", lambda _, *rest: asked.append(rest[1:]) or 24)
    one = case(masked(), retrained(FORGET))
    known = {"relearn_steps": 0.64, "relearn_lr": 0.0004}  # 16 steps, as they are logged
    its = depth(one, known)
    assert asked == [(0.0004, 64)]
    assert (its["depth"], its["relearn_lr"]) == (150, 0.0004)
    assert its["relearn_steps"] == pytest.approx(0.96)


class Headless(nn.Module):
    """Logits without a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).mean((2, 3))


def test_without_a_head_steps_are_counted_and_a_note_says_what_is_missing() -> None:
    headless = copy.deepcopy(trained())
    headless.model = Headless()
    headless.mask = mu.Mask({})
    one = case(headless, None)
    assert set(depth(one)) == {"relearn_steps", "relearn_lr"}
    assert [note for note in one.run.notes if note.startswith("no prototype_acc, probe_acc and")]


def test_features_that_are_all_alike_leave_cka_out() -> None:
    dead = copy.deepcopy(trained())
    with torch.no_grad():
        for parameter in dead.model.parameters():
            parameter.zero_()
    one = case(dead, retrained(FORGET))
    its = depth(one)
    assert not {"cka_oracle", "cka_original"} & set(its)
    assert {"probe_acc", "prototype_acc"} <= set(its)
    assert [note for note in one.run.notes if "all samples have the same features" in note]


def test_the_former_names_are_accepted() -> None:
    assert Selection.parse("relearn") == Selection.parse("depth")
    one = case(masked(), retrained(FORGET))
    its = measurements(one, Selection.parse("relearn_steps"))
    assert set(its) == {"relearn_steps", "relearn_steps_oracle"}


def test_it_is_measured_against_an_original() -> None:
    with pytest.raises(ValueError, match="original"):
        depth(replace(case(masked(), None), original=None))
