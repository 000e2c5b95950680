"""What is searched, what is tried next, and what an interruption changes: nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, ClassVar

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.errors import UserError
from mu.methods import METHODS, make_method, method_class
from mu.tasks.tune import sampler
from mu.tasks.tune import trials as trials_module
from mu.tasks.tune.judge import Judge, Metrics, Result
from mu.tasks.tune.sampler import AT_RANDOM, suggest
from mu.tasks.tune.space import Axis, axes_of, word
from mu.tasks.tune.trials import Space, Trial, search
from tests.helpers import laws, refused

FT = method_class("ft")
LR = Axis("lr", (), 0.003, 3.0)
DECAY = Axis("weight_decay", (), 0.0, 0.004)
EPOCHS = Axis("epochs", (), 2, 30)
SCHEDULE = Axis("schedule", ("cosine", "constant", "step"))
AXES = (LR, DECAY, EPOCHS, SCHEDULE)


class StoppedError(Exception):
    """Ends a search in its middle."""


class Pretended(Judge):
    """Judges settings by a formula, and remembers what it has seen, as a store does."""

    kind = "pretended"
    columns: ClassVar = {"loss": "loss"}
    words = "a formula"

    def __init__(self, loss: Callable[[Mapping[str, Any]], float], stop_at: int = -1) -> None:
        self.loss, self.stop_at, self.seen = loss, stop_at, dict[str, Result]()
        self.problem: Any = SimpleNamespace(split=None)
        self.store: Any = SimpleNamespace(run=lambda _: None)
        self.parent = "parent"

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        return (metrics["loss"],)

    def is_met(self, metrics: Metrics) -> bool:
        return metrics["loss"] < 0

    def found(self, task: Any) -> Result | None:
        return self.seen.get(repr(task.method))

    def made(self, task: Any, title: str) -> Result:
        if len(self.seen) == self.stop_at:
            raise StoppedError
        made = Result(f"run {len(self.seen)}", {"loss": self.loss(task.method.as_dict())})
        self.seen[repr(task.method)] = made
        return made


@pytest.fixture(autouse=True)
def _no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pretended judge has no problem, and a method has nothing to check."""
    monkeypatch.setattr(FT, "check", lambda *_: None)
    monkeypatch.setattr(
        trials_module, "UnlearnTask", lambda _, method, seed: SimpleNamespace(method=method)
    )


def space(seed: int = 0, count: int = 9, axes: tuple[Axis, ...] = AXES) -> Space:
    return Space(make_method("ft"), {}, axes, seed, count)


def loss(settings: Mapping[str, Any]) -> float:
    """Smallest near lr=0.5; the rule's is in the middle."""
    return 0.3 if settings["lr"] is None else round(abs(settings["lr"] - 0.5), 1)


def tried(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(one.number, one.tried, one.result, one.rank, one.error) for one in trials]


# --- what is tried next -------------------------------------------------------------------


@laws(4)
@given(seed=st.integers(0, 2**32 - 1), stop_at=st.integers(0, 8))
def test_a_search_that_was_stopped_goes_on_with_the_same_trials(seed: int, stop_at: int) -> None:
    whole = tried(search(space(seed), Pretended(loss), lambda _: None))
    judge = Pretended(loss, stop_at)
    with pytest.raises(StoppedError):
        search(space(seed), judge, lambda _: None)
    judge.stop_at = -1
    again = search(space(seed), judge, lambda _: None)
    assert tried(again) == whole
    assert [one.is_new for one in again] == [one.number >= stop_at for one in again]


def test_the_trials_are_those_of_one_study_that_is_told_the_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Optuna as it is meant to be used: one study, asked, and told losses and not places."""
    monkeypatch.setattr(sampler, "DIGITS", 17)  # what is tried is what the study suggests
    found = search(space(7, 14), Pretended(loss), lambda _: None)
    distributions: dict[str, Any] = {
        "lr": optuna.distributions.FloatDistribution(0.003, 3.0, log=True),
        "weight_decay": optuna.distributions.FloatDistribution(0.0, 0.004),
        "epochs": optuna.distributions.IntDistribution(2, 30, log=True),
        "schedule": optuna.distributions.CategoricalDistribution(SCHEDULE.values),
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for one in found[1:]:  # the default has no rate, so it is no trial of the study
        digest = hashlib.sha256(f"7/trial {one.number}".encode()).digest()
        seed = int.from_bytes(digest[:4], "little")
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=AT_RANDOM, seed=seed)
        asked = study.ask(distributions)
        assert asked.params == one.tried
        study.tell(asked, loss(asked.params))


@laws(15)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(1, 40))
def test_what_is_tried_lies_in_the_space_and_is_short(seed: int, number: int) -> None:
    found = suggest(AXES, seed, number, [])
    assert list(found) == [one.name for one in AXES]
    assert all(one.holds(found[one.name]) for one in AXES)
    assert all(len(f"{found[name]:e}".rstrip("0").split("e")[0].rstrip("0")) <= 4
               for name in ("lr", "weight_decay"))  # fmt: skip
    make_method("ft", found)


# --- which is best ------------------------------------------------------------------------


def test_trial_0_has_the_defaults_and_wins_ties() -> None:
    found = search(space(count=9), Pretended(lambda _: 1.0), lambda _: None)
    assert found[0].tried == {}
    assert min(found, key=lambda one: one.order) is found[0]


def test_the_search_ends_with_a_trial_that_none_could_beat() -> None:
    waiting = iter([2.0, 1.0, -1.0, 3.0])
    found = search(space(), Pretended(lambda _: next(waiting)), lambda _: None)
    assert [one.number for one in found] == [0, 1, 2]


@laws(8)
@given(values=st.lists(st.integers(0, 3), min_size=2, max_size=5))
def test_the_best_is_the_first_of_the_smallest(values: list[int]) -> None:
    waiting = iter(values)
    found = search(space(count=len(values)), Pretended(lambda _: next(waiting)), lambda _: None)
    best = min(found, key=lambda one: one.order)
    assert best.number == values.index(min(values))


def test_a_method_that_fails_costs_its_trial_and_a_store_that_fails_ends_the_search() -> None:
    def fails(settings: Mapping[str, Any]) -> float:
        if settings["lr"] is not None and settings["lr"] > 0.1:
            raise UserError("it went too far")
        return 1.0

    judge = Pretended(fails)
    found = search(space(count=8), judge, lambda _: None)
    lost = [one for one in found if one.result is None]
    assert 0 < len(lost) < 7
    assert all(one.error == "it went too far" and one.tried["lr"] > 0.1 for one in lost)
    assert max(found, key=lambda one: one.order) in lost

    def gone(_: str) -> None:
        raise UserError("the store does not answer")

    judge.store = SimpleNamespace(run=gone)
    with refused("the store does not answer"):
        search(space(1, 8), judge, lambda _: None)


# --- what is searched ---------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_range_is_one_that_the_option_takes(name: str) -> None:
    ranges = {
        one.name: one.metadata["search"]
        for one in fields(method_class(name))
        if "search" in one.metadata
    }
    for setting, (low, high) in ranges.items():
        assert low < high
        for value in (low, high):
            assert make_method(name, {setting: value}).as_dict()[setting] == value
        default = make_method(name).as_dict()[setting]
        assert default is None or low <= default <= high
    if ranges:
        found = axes_of(method_class(name), {}, None)
        assert {one.name: (one.low, one.high) for one in found} == ranges
        both = make_method(name, {one.name: one.low for one in found})
        assert both.as_dict().items() >= {one.name: one.low for one in found}.items()
    else:
        with refused(f"method={name} has no setting to search"):
            axes_of(method_class(name), {}, None)


def test_what_is_given_is_not_searched() -> None:
    l1 = method_class("l1_sparse")
    assert [one.name for one in axes_of(l1, {"lr": 0.1}, None)] == ["weight_decay", "l1_strength"]
    # Another one that says how far to go.
    assert [one.name for one in axes_of(l1, {"alpha": 0.1}, None)] == ["lr", "weight_decay"]
    assert [one.name for one in axes_of(FT, {}, "weight_decay")] == ["weight_decay"]


def test_ranges_and_lists_are_read() -> None:
    text = "lr=0.001:0.1 momentum=0:0.9 epochs=2:5 schedule=cosine,constant weight_decay"
    assert axes_of(FT, {}, text) == (
        Axis("lr", (), 0.001, 0.1),
        Axis("momentum", (), 0.0, 0.9),
        Axis("epochs", (), 2, 5),
        Axis("schedule", ("cosine", "constant")),
        Axis("weight_decay", (), 5e-5, 5e-3),
    )
    l1 = method_class("l1_sparse")
    assert axes_of(l1, {}, "shrink=0.1,1,10 exact_zeros=true,false lr=auto,0.1") == (
        Axis("l1_strength", (0.1, 1.0, 10.0)),
        Axis("exact_zeros", (True, False)),
        Axis("lr", (None, 0.1)),
    )


def test_a_range_of_a_decade_is_on_a_log_scale() -> None:
    assert Axis("lr", (), 0.01, 0.1).is_log
    assert not Axis("lr", (), 0.01, 0.099).is_log
    assert not Axis("momentum", (), 0.0, 0.9).is_log
    assert list(map(str, AXES)) == [
        "lr=0.003:3 (log)",
        "weight_decay=0:0.004",
        "epochs=2:30 (log)",
        "schedule=cosine,constant,step",
    ]
    assert [word(None), word(True), word(1e-7, exact=True)] == ["none", "true", "1e-07"]


@pytest.mark.parametrize(
    ("text", "given", "parts"),
    [
        ("", {}, ("names no setting",)),
        ("rate", {}, ("unknown setting of method ft 'rate'", "lr")),
        ("momentum", {}, ("momentum has no default range", "momentum=LOW:HIGH")),
        ("lr=0.1:0.01", {}, ("lr=0.1:0.01 is no range",)),
        ("lr=0.1:0.2:0.3", {}, ("is no range",)),
        ("lr=0:1", {}, ("lr=0.0", "above 0")),
        ("lr=none:1", {}, ("is no range",)),
        ("lr=x:1", {}, ("lr='x' is not of type float",)),
        ("lr=0.1,0.1", {}, ("names a value twice",)),
        ("epochs=1.5:3", {}, ("epochs='1.5' is not of type int",)),
        ("schedule=cosine,linear", {}, ("unknown schedule 'linear'",)),
        ("lr lr", {}, ("lr is named twice",)),
        ("lr=0.1:1", {"lr": 0.5}, ("lr is given as lr=0.5",)),
    ],
)
def test_a_search_that_says_nothing_is_refused(
    text: str, given: dict[str, Any], parts: tuple[str, ...]
) -> None:
    with refused(*parts):
        axes_of(FT, given, text)


def test_two_settings_that_say_how_far_to_go_are_refused() -> None:
    with refused("alpha and l1_strength both say how far to go"):
        axes_of(method_class("l1_sparse"), {}, "l1_strength alpha=0.01:1")
    with refused("alpha and l1_strength both say how far to go"):
        axes_of(method_class("l1_sparse"), {"alpha": 0.1}, "l1_strength")
    with refused("leave out step, or give search"):
        axes_of(method_class("ga"), {"step": 0.1}, None)


def test_a_limit_that_is_given_is_the_criterions_where_a_scale_is_tried() -> None:
    made = Space(
        make_method("ft", {"max_accuracy_drop": 3.0}), {"max_accuracy_drop": 3.0}, (), 0, 1
    )
    assert made.made({}).as_dict()["max_accuracy_drop"] == 3.0
    assert made.settings({"lr": 0.1}) == {"lr": 0.1}
    assert made.settings({"momentum": 0.1}) == {"max_accuracy_drop": 3.0, "momentum": 0.1}
