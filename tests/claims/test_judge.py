"""Claims against numbers that are written down: what passes, by how much, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.tasks.claims.document import Claim
from mu.tasks.claims.judge import FAIL, NOT_RUN, PASS, Measured, Verdict, judge
from tests.helpers import laws, refused

ABOUT = {"claim": "it", "source": "them", "grid": "main.yaml", "metric": "gap"}
NUMBERS = st.floats(-100, 100)


def claim(**given: Any) -> Claim:
    return Claim.of({**ABOUT, "where": {"method": "ft", "forget": "class"}, **given}, 1)


def run(seed: int = 0, forget: str = "class:0", method: str = "ft", **about: Any) -> Measured:
    """A run; what is in capitals, ``gap`` and ``RTE`` are its metrics."""
    metrics = {name: about.pop(name) for name in [*about] if name.isupper() or name == "gap"}
    settings = {"preset": None, "rate": 0, **about, "seed": seed, "forget": forget}
    return Measured({**settings, "method": method}, metrics or None)


def only(found: Claim, runs: list[Measured]) -> Verdict:
    (verdict,) = judge(found, runs)
    return verdict


def test_what_falls_is_averaged_by_original_and_paired() -> None:
    runs = [
        *(run(0, forget, rate=0, gap=value) for forget, value in (("class:0", 4), ("class:3", 6))),
        *(run(0, forget, rate=0.95, gap=1) for forget in ("class:0", "class:3")),
        run(1, rate=0, gap=9),
        run(1, rate=0.95, gap=7),
        run(1, "random:10%", rate=0.95, gap=1000),
    ]
    found = only(claim(falls={"rate": [0, 0.95]}), runs)
    assert (found.word, found.found, found.originals) == (PASS, "7.00 to 4.00", 2)
    assert found.margin == pytest.approx((5 - 1 + 9 - 7) / 2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.margin < found.high


def test_a_curve_may_rise_a_little_but_must_end_below_its_beginning() -> None:
    def verdict(*values: float, tolerance: float = 1.0) -> str:
        runs = [run(rate=n, gap=value) for n, value in enumerate(values)]
        return only(claim(falls={"rate": [*range(len(values))], "tolerance": tolerance}), runs).word

    assert verdict(5, 3, 3.9, 1) == PASS
    assert verdict(5, 3, 4.1, 1) == FAIL
    assert verdict(5, 3, 4.1, 1, tolerance=2) == PASS
    assert verdict(5, 4, 3, 5.5, tolerance=3) == FAIL


@laws(60)
@given(before=st.lists(NUMBERS, min_size=1, max_size=4), step=NUMBERS)
def test_the_margin_of_a_fall_is_the_fall(before: list[float], step: float) -> None:
    runs = [run(seed, rate=0, gap=value) for seed, value in enumerate(before)]
    runs += [run(seed, rate=1, gap=value - step) for seed, value in enumerate(before)]
    found = only(claim(falls={"rate": [0, 1]}), runs)
    assert found.margin == pytest.approx(step, abs=1e-9)
    if abs(step) > 1e-6:
        assert (found.word == PASS) == (step > 0)


def test_values_others_and_ratios() -> None:
    runs = [run(UA=80, gap=2.5, RTE=40), run(method="retrain", UA=100, gap=0, RTE=400)]
    published = claim(at_most={"value": 2.26, "tolerance": 0.5})
    assert only(published, runs).margin == pytest.approx(0.26)
    assert only(claim(at_most={"value": 2.26}), runs).word == FAIL
    other = {"method": "retrain"}
    near = {"other": other, "tolerance": 20}
    assert only(claim(metric="UA", within=near), runs).margin == pytest.approx(0)
    assert only(claim(metric="UA", within={**near, "tolerance": 19}), runs).word == FAIL
    more = {"other": other, "by": -30}
    assert only(claim(metric="UA", exceeds=more), runs).margin == pytest.approx(10)
    assert only(claim(metric="UA", exceeds={"other": other}), runs).word == FAIL
    times = {"other": other, "value": 0.2, "factor": 3}
    assert only(claim(metric="RTE", ratio=times), runs).word == PASS
    assert only(claim(metric="RTE", ratio={**times, "factor": 1.9}), runs).word == FAIL


def test_what_forgets_best_is_what_keeps_most() -> None:
    runs = [run(pruner=name, gap=gap, TA=ta) for name, gap, ta in (("a", 1, 90), ("b", 2, 91))]
    over = {"largest": "TA", "pruner": ["a", "b"]}
    assert only(claim(agrees=over), runs).margin == pytest.approx(-1)
    assert only(claim(agrees={**over, "tolerance": 1}), runs).word == PASS


def test_each_preset_has_a_verdict_and_the_others_have_their_own() -> None:
    runs = [
        run(UA=50),
        run(preset="paper", UA=10),
        run(method="ga", UA=30),
    ]
    how = {"other": {"method": "ga"}}
    found = list(judge(claim(metric="UA", exceeds=how), runs))
    assert [(one.preset, one.word) for one in found] == [("none", PASS), ("paper", FAIL)]
    where = {"method": "ft", "preset": "paper"}
    (one,) = judge(claim(metric="UA", where=where, at_most={"value": 10}), runs)
    assert (one.preset, one.word) == ("paper", PASS)


def test_a_claim_of_all_methods_is_one_of_each_that_has_such_runs() -> None:
    runs = [run(UA=50), run(method="ga", UA=30), run(method="retrain", UA=0)]
    runs += [run(forget="random:1", method="iu", UA=0)]
    where = {"method": "all", "forget": "class"}
    found = list(judge(claim(metric="UA", where=where, at_most={"value": 40}), runs))
    assert [(one.claim.claim, one.word) for one in found] == [("it: ft", FAIL), ("it: ga", PASS)]


def test_runs_that_are_missing_leave_out_their_pair_of_original_and_forget_set() -> None:
    falling = claim(falls={"rate": [0, 1]})
    whole = [run(0, rate=0, gap=4), run(0, rate=1, gap=1)]
    half = [run(1, rate=0, gap=4), run(1, rate=1)]
    found = only(falling, [*whole, *half])
    assert (found.word, found.margin, found.pairs) == (PASS, 3, (1, 2))
    assert not found.is_certain
    other = [run(0, rate=rate, forget="class:1", gap=gap) for rate, gap in ((0, 1), (1, 9))]
    assert only(falling, [*whole, *half, *other]).margin == pytest.approx((3 - 8) / 2)
    assert only(falling, half).word == NOT_RUN
    assert only(claim(metric="depth", at_most={"value": 1}), whole).word == NOT_RUN
    seeds = [run(seed, rate=rate, gap=4 - rate - seed / 9) for seed in (0, 1, 2) for rate in (0, 1)]
    assert only(falling, seeds).is_certain
    assert not only(falling, [*seeds, run(3, rate=0, gap=1), run(3, rate=1)]).is_certain


@pytest.mark.parametrize(
    ("written", "texts"),
    [
        ("gap", ("no claim",)),
        ({**ABOUT, "fals": {}}, ("'fals'", "falls")),
        (ABOUT, ("give one of falls",)),
        ({**ABOUT, "falls": {}, "at_most": {}}, ("give one of",)),
        ({"claim": "it", "at_most": {"value": 1}}, ("source is missing",)),
        ({**ABOUT, "at_most": 3}, ("at_most=3", "mapping")),
        ({**ABOUT, "where": "ft", "at_most": {}}, ("where='ft'", "mapping")),
    ],
)
def test_claims_that_are_not_understood(written: Any, texts: tuple[str, ...]) -> None:
    with refused("claim 1", *texts):
        Claim.of(written, 1)


@pytest.mark.parametrize(
    ("test", "texts"),
    [
        ({"falls": {}}, ("falls does not go with {}",)),
        ({"at_most": {"values": 1}}, ("at_most does not go with", "values")),
        ({"falls": {"rate": [0, 2]}}, ("main.yaml has no run with", "rate=2")),
    ],
)
def test_tests_that_the_grid_cannot_answer(test: dict[str, Any], texts: tuple[str, ...]) -> None:
    with refused(*texts):
        only(claim(**test), [run(rate=0, gap=1)])
