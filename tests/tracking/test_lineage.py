"""Finding the original and the oracle: the newest finished one that agrees, never another."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.checkpoints import Checkpoint
from mu.tags import ORACLE_KEY, TRIAL
from mu.tracking import Store, find_oracle, find_original
from mu.tracking.reader import same_value, unlearned_of
from tests.helpers import laws
from tests.tracking.handovers import hand_over, small_checkpoint

PARAMS = {"dataset": "digits", "rate": 0.95, "epochs": 2, "train_size": None}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return small_checkpoint()


def found(store: Store, **asked: object) -> str | None:
    run = find_original(store, asked)
    return None if run is None else str(run.info.run_id)


# --- the original -------------------------------------------------------------------------


def test_nothing_is_found_in_an_empty_store(store: Store) -> None:
    assert found(store) is None
    assert find_oracle(store, "0123456789abcdef") is None


def test_the_newest_that_agrees(store: Store, checkpoint: Checkpoint) -> None:
    older = hand_over(store, checkpoint, params={**PARAMS, "rate": 0.5})
    middle = hand_over(store, checkpoint, params=PARAMS)
    newer = hand_over(store, checkpoint, params=PARAMS)
    assert found(store) == newer
    assert found(store, rate=0.95) == newer
    assert found(store, rate=0.5) == older
    store.client.delete_run(newer)
    assert found(store, rate=0.95) == middle


def test_other_spellings_of_a_number_agree(store: Store, checkpoint: Checkpoint) -> None:
    params = {**PARAMS, "rate": "95e-2", "epochs": "2.0"}  # as the launcher logs what was typed
    run_id = hand_over(store, checkpoint, params=params)
    assert found(store, rate=0.95, epochs=2, train_size=None) == run_id


@pytest.mark.parametrize(
    "asked", [{"rate": 0.9}, {"dataset": "cifar10"}, {"train_size": 100}, {"unheard_of": 1}]
)
def test_one_that_contradicts_is_passed_over(
    store: Store, checkpoint: Checkpoint, asked: dict[str, object]
) -> None:
    hand_over(store, checkpoint, params=PARAMS)
    assert found(store, **asked) is None
    assert found(store, epochs=2, **asked) is None


@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "KILLED", "SCHEDULED"])
def test_one_that_is_not_finished_is_passed_over(
    store: Store, checkpoint: Checkpoint, status: str
) -> None:
    finished = hand_over(store, checkpoint, params=PARAMS)
    hand_over(store, checkpoint, params=PARAMS, status=status)
    assert found(store, rate=0.95) == finished


def test_others_that_are_passed_over(store: Store, checkpoint: Checkpoint, tmp_path: Path) -> None:
    hand_over(store, checkpoint, params=PARAMS, entry="unlearn")
    store.client.delete_run(hand_over(store, checkpoint, params=PARAMS))
    store.client.delete_tag(hand_over(store, checkpoint, params=PARAMS), "mu.spec")
    other = store.client.create_experiment("elsewhere", str(tmp_path / "elsewhere"))
    elsewhere = Store(store.client, store.uri, other)
    hand_over(elsewhere, checkpoint, params=PARAMS)
    assert found(store) is None
    assert found(elsewhere) is not None


def test_poisoned_originals_are_found_where_one_is_wanted_and_nowhere_else(
    store: Store, checkpoint: Checkpoint
) -> None:
    clean = hand_over(store, checkpoint, params=PARAMS)
    poisoned = hand_over(store, checkpoint, params=PARAMS, tags={"mu.poison": "p"})
    assert found(store) == clean
    hand_over(store, checkpoint, params=PARAMS)
    assert find_original(store, {}, poisoned=True).info.run_id == poisoned  # type: ignore[union-attr]


# --- the oracle ---------------------------------------------------------------------------


def test_a_trial_of_settings_is_no_unlearning(store: Store, checkpoint: Checkpoint) -> None:
    made = hand_over(store, checkpoint, entry="unlearn")
    hand_over(store, checkpoint, entry="unlearn", tags={TRIAL: "gap"})
    assert [one.run_id for one in unlearned_of(store)] == [made]


def test_oracle_by_its_key(store: Store, checkpoint: Checkpoint) -> None:
    keys = ("aaaa", "bbbb")
    older, other, newer, _ = (
        hand_over(store, checkpoint, entry="unlearn", tags={ORACLE_KEY: key}, status=status)
        for key, status in zip(
            (keys[0], keys[1], keys[0], keys[0]),
            ("FINISHED", "FINISHED", "FINISHED", "FAILED"),
            strict=True,
        )
    )
    assert find_oracle(store, keys[0]).info.run_id == newer  # type: ignore[union-attr]
    assert find_oracle(store, keys[1]).info.run_id == other  # type: ignore[union-attr]
    assert find_oracle(store, "cccc") is None
    assert find_oracle(store, keys[0], but=newer).info.run_id == older  # type: ignore[union-attr]
    store.client.delete_run(newer)
    assert find_oracle(store, keys[0]).info.run_id == older  # type: ignore[union-attr]


# --- spellings ----------------------------------------------------------------------------

floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1)


@laws()
@given(floats, st.sampled_from(["{!r}", "{:.17e}", "{:.17E}", "+{!r}", " {!r} ", "{!r}0"]))
def test_any_spelling_of_a_float_is_the_float(value: float, spelling: str) -> None:
    spelt = spelling.format(value)
    if value < 0 or math.copysign(1, value) < 0:
        spelt = spelt.replace("+-", "-")
    if spelling.endswith("0") and ("e" in spelt or "." not in spelt):
        return  # a nought after an exponent is another number
    assert same_value(spelt, value)


@laws()
@given(floats, floats)
def test_other_floats_differ(one: float, other: float) -> None:
    assert same_value(repr(one), other) == (one == other)


@laws()
@given(st.integers(-(2**50), 2**50))
def test_a_whole_number_is_itself_written_with_a_point(value: int) -> None:
    assert same_value(str(value), value)
    assert same_value(f"{value}.0", value)
    assert same_value(str(value), float(value))
    assert not same_value(str(value + 1), value)


@laws()
@given(texts, texts)
def test_texts_are_compared_as_they_stand(one: str, other: str) -> None:
    assert same_value(one, one)
    assert same_value(one, other) == (one == other)


@laws()
@given(texts, floats)
def test_a_text_that_is_no_number_never_agrees_with_one(text: str, value: float) -> None:
    assert not same_value(f"x{text}", value)


@pytest.mark.parametrize("value", ["none", 0, 0.0, None, False, "", "0"])
def test_what_was_never_logged_agrees_with_nothing(value: object) -> None:
    assert not same_value(None, value)


def test_none_is_logged_as_a_word() -> None:
    assert same_value("none", None)
    assert not same_value("0", None)
    assert not same_value("none", 0)


@pytest.mark.parametrize(("logged", "meant"), [("True", True), ("true", True), ("False", False)])
def test_truth_values(logged: str, meant: bool) -> None:
    assert same_value(logged, meant)
    assert not same_value(logged, not meant)
