"""Warnings about single results: each where it applies, and none about a good result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mu.report.alarms import RULES, Alarm, Result, alarms, alarms_of, gravest, tag_of
from tests.report.comparison.made import BEFORE, make_run

# The table of the README, with the interval of MIA and the attack's AUC as the run logged them.
ORIGINAL = {
    "UA": 0.0, "RA": 100.0, "TA": 93.54, "MIA": 0.0,
    "MIA_fit_auc": 0.58, "MIA_fit_auc_lo": 0.53, "MIA_fit_auc_hi": 0.63,
}  # fmt: skip
UNLEARNED = {
    "UA": 98.45, "RA": 100.0, "TA": 93.85, "MIA": 100.0, "MIA_lo": 97.1, "MIA_hi": 100.0,
    "gap": 0.54,
}  # fmt: skip
ORACLE = {"UA": 100.0, "RA": 100.0, "TA": 94.46, "MIA": 100.0, "MIA_lo": 97.1, "MIA_hi": 100.0}
GOOD = Result(UNLEARNED, ORIGINAL, ORACLE, floor=0.3)


def result(
    unlearned: Mapping[str, float] | None = None,
    original: Mapping[str, float] | None = None,
    oracle: Mapping[str, float] | None = None,
    **others: object,
) -> Result:
    """:data:`GOOD` with other numbers."""
    made = replace(
        GOOD,
        unlearned={**UNLEARNED, **(unlearned or {})},
        original={**ORIGINAL, **(original or {})},
        oracle={**ORACLE, **(oracle or {})},
    )
    return replace(made, **others)  # type: ignore[arg-type]


def rules(one: Result) -> list[str]:
    return [found.rule for found in alarms(one)]


def test_nothing_is_wrong_with_a_good_result() -> None:
    assert alarms(GOOD) == []
    assert tag_of([]) == "none"
    assert alarms(Result(ORACLE, ORIGINAL, retrained=True)) == []
    assert alarms(Result(UNLEARNED, ORIGINAL)) == []  # without an oracle


BAD: dict[str, tuple[Result, tuple[str, ...]]] = {
    "oracle_fit": (  # an imported network, its oracle trained by a recipe that was not its own
        result({"gap": 7.3}, {"RA": 99.2}, {"RA": 61.9}),
        ("the oracle has RA 61.9 % on its training data, the original 99.2 %",
         "the gap of 7.3 points says little", "recipe", "mu import"),
    ),
    "original_fit": (
        result(original={"RA": 62.0}),
        ("does not fit its training data (RA 62.0 %, below 97 %)", "forgets by itself"),
    ),
    "accuracy": (
        result({"RA": 95.37, "TA": 88.0}),
        ("RA fell from 100.0 to 95.4 % (the oracle has 100.0 %)",
         "TA fell from 93.5 to 88.0 % (the oracle has 94.5 %)", "max_accuracy_drop"),
    ),
    "attack": (
        result(original={"MIA_fit_auc": 0.5, "MIA_fit_auc_lo": 0.46, "MIA_fit_auc_hi": 0.54}),
        ("cannot tell members from non-members even on the original",
         "AUC of 0.50, 0.46 to 0.54", "lira"),
    ),
    "forget_set": (
        result({"MIA": 50.0, "MIA_lo": 9.5, "MIA_hi": 90.5}),
        ("too small", "MIA of 50.0 %", "9.5 to 90.5 %"),
    ),
    "unchanged": (result(unchanged=True), ("left all weights as they were",)),
    "oracles_apart": (
        result(floor=1.3),
        ("seed alone are 1.30 points apart", "gap of 0.54", "cannot be told from an oracle"),
    ),
}  # fmt: skip


def guessing(right: float, half: float = 6.0) -> dict[str, float]:
    """What the attack on held-out samples of the unlearned network came to."""
    name = "MIA_privacy_confidence"
    return {name: right, f"{name}_lo": right - half, f"{name}_hi": right + half}


def test_an_attack_that_does_no_better_than_guessing_on_the_network_says_nothing() -> None:
    (found,) = alarms(result(guessing(51.4)))
    assert found.rule == "attack"
    for words in ("of this network", "51.4 % of held-out", "45.4 to 57.4 %", "is chance", "lira"):
        assert words in found.text
    assert found.beyond == pytest.approx(50 - 45.4)


def test_what_an_attack_does_on_the_original_is_told_first_and_once() -> None:
    (found,) = alarms(result(guessing(50.0), {"MIA": 100.0}))
    assert "even on the original" in found.text
    assert "held-out" not in found.text


def test_a_finished_run_whose_attack_guesses_is_told_of() -> None:
    run = make_run("a", metrics={**UNLEARNED, **guessing(50.5)})
    assert [one.rule for one in alarms_of(run, {})] == ["attack"]
    earlier = make_run("b", metrics={**UNLEARNED, "MIA_privacy_confidence": 50.5})
    assert alarms_of(earlier, {}) == []  # its interval was not logged then


@pytest.mark.parametrize("rule", RULES)
def test_each_warning_gives_values_and_what_they_mean(rule: str) -> None:
    bad, words = BAD[rule]
    (found,) = alarms(bad)
    assert found.rule == rule
    assert found.beyond > 0
    for word in words:
        assert word in found.text
    assert rule in tag_of([found])


def test_every_rule_is_named_in_the_order_of_the_list() -> None:
    everything = result(
        {"MIA_lo": 0.0, "RA": 10.0, "gap": 0.2},
        {"RA": 90.0, "MIA": 60.0},
        {"RA": 50.0},
        unchanged=True,
    )
    assert tag_of(alarms(everything)) == ",".join(RULES)


@pytest.mark.parametrize(
    ("bad", "limit"),
    [
        (lambda by: result(oracle={"RA": 97.0 - by}), "oracle_fit"),
        (lambda by: result(oracle={"TA": 88.54 - by}), "oracle_fit"),
        (lambda by: result(original={"RA": 97.0 - by}), "original_fit"),
        (lambda by: result({"RA": 97.0 - by}), "accuracy"),
        (lambda by: result({"TA": 90.54 - by}), "accuracy"),
        (lambda by: result(original={"MIA_fit_auc_lo": 0.51 - by}), "attack"),
        (lambda by: result(original={"MIA": 50.0 + by}), "attack"),
        (lambda by: result(guessing(52.0, 2.0 + by)), "attack"),
        (lambda by: result(guessing(53.0 - by, 6.0)), "attack"),
        (lambda by: result({"MIA_lo": 60.0 - by}), "forget_set"),
        (lambda by: result(floor=0.54 + by), "oracles_apart"),
    ],
)
def test_a_threshold_is_where_it_is_said_to_be(bad, limit) -> None:  # type: ignore[no-untyped-def]
    assert rules(bad(-0.001)) == []
    assert rules(bad(0.001)) == [limit]


def test_an_accuracy_that_the_oracle_lost_too_is_no_loss() -> None:
    """Half of the data was forgotten: the oracle knows less, and so should the network."""
    assert rules(result({"TA": 89.0}, oracle={"TA": 89.5})) == []
    assert rules(result({"TA": 84.0}, oracle={"TA": 89.5})) == ["accuracy"]  # fell twice as far
    # An oracle that was not trained well is no excuse.
    assert rules(result({"TA": 60.0}, oracle={"TA": 60.0})) == ["oracle_fit", "accuracy"]


def test_an_oracle_is_judged_as_one() -> None:
    bad = {"RA": 61.9, "TA": 60.0}
    assert rules(Result({**ORACLE, **bad}, ORIGINAL, retrained=True)) == ["oracle_fit"]
    (found,) = alarms(Result({**ORACLE, **bad}, ORIGINAL, retrained=True))
    assert "a gap to it says little" in found.text


def test_what_is_missing_or_nan_is_not_judged() -> None:
    """Runs of earlier versions lack some numbers."""
    assert alarms(Result({}, {})) == []
    nan = float("nan")
    assert alarms(Result(dict.fromkeys(UNLEARNED, nan), dict.fromkeys(ORIGINAL, nan), ORACLE)) == []


def test_a_finished_run_is_judged_by_what_it_logged() -> None:
    good, oracle = make_run("a", metrics={**BEFORE, "gap": 1.0}), make_run("o", "retrain")
    assert alarms_of(good, oracle.metrics) == []
    assert alarms_of(oracle, {}) == []
    bad = make_run("b", "retrain", metrics={**BEFORE, "RA": 61.9})
    assert [one.rule for one in alarms_of(bad, {})] == ["oracle_fit"]
    assert [one.rule for one in alarms_of(good, bad.metrics)] == ["oracle_fit"]
    under = make_run("c", metrics={"RA_before": 90.0, "RA": 90.0})
    assert [one.rule for one in alarms_of(under, {})] == ["original_fit"]


def test_of_many_runs_the_gravest_is_told() -> None:
    found = {
        "a": [Alarm("accuracy", 1.0, "a little")],
        "b": [Alarm("oracle_fit", 2.0, "the oracle"), Alarm("accuracy", 3.0, "a lot")],
        "c": [],
    }
    assert gravest(found) == ["the oracle (run b)", "a lot (run b and 1 more)"]
