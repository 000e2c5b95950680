"""The verdict on a result: right words for what is useless, destroyed, shallow and right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mu.report.verdict import BAD, MEANINGS, verdict

ORACLE = {"UA": 100.0, "RA": 99.0, "TA": 95.0, "MIA": 100.0}
GOOD = {"UA": 100.0, "RA": 98.5, "TA": 94.0, "MIA": 100.0, "gap": 0.4, "gap_before": 50.0,
        "gain": 49.6, "gain_lo": 48.0, "gain_hi": 51.0, "gap_p": 0.4, "depth": 98.0}  # fmt: skip


def word(spread: float = float("nan"), **changes: float) -> str | None:
    found = verdict({**GOOD, **changes}, ORACLE, spread)
    return found and found.word


def test_each_word() -> None:
    assert word() == "indistinguishable"
    assert word(gap=2.0, gap_p=0.001) == "partial"
    assert word(gap=2.0, gap_p=0.001, spread=2.5) == "indistinguishable"
    assert word(depth=3.0) == "shallow"
    assert word(depth=200.0) == "indistinguishable"  # as far as oracles of other seeds get
    assert word(depth=201.0) == word(depth=400.0, gap=2.0, gap_p=0.001) == "overdone"
    assert word(depth=400.0, RA=88.0) == "destroyed"
    assert word(gain_lo=0.0) == word(gain_lo=-3.0, depth=3.0) == "useless"
    assert word(RA=88.0) == word(TA=80.0, gain_lo=-1.0) == "destroyed"


def test_numbers_that_are_not_there() -> None:
    assert verdict({"UA": 1.0}, ORACLE) is None
    nan = float("nan")
    assert word(gap=nan) is None
    assert word(gap=9.0, gap_p=nan, gain=nan, gain_lo=nan, depth=nan) is None
    assert word(depth=nan) == "indistinguishable"  # of random samples there is none
    without = {name: value for name, value in GOOD.items() if name not in ("gain_lo", "gain_hi")}
    found = verdict({**without, "gain": -1.0}, ORACLE)
    assert found is not None
    assert found.word == "useless"
    assert "to" not in found.text.partition("(")[2]


def test_where_other_oracles_are_as_far_apart_nothing_can_be_told() -> None:
    near = {**GOOD, "gap": 0.5, "gap_before": 0.6, "gain": 0.1, "gain_lo": -0.2, "gain_hi": 0.4}
    found = verdict(near, ORACLE, 0.7)
    assert found is not None
    assert found.word == "useless"
    assert "nothing can be told" in found.text
    apart = verdict(near, ORACLE, 0.3)
    assert apart is not None
    assert "nothing can be told" not in apart.text


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 1), st.floats(0, 300))
def test_never_praised_where_it_is_no_better_than_doing_nothing(
    gap: float, before: float, chance: float, depth: float
) -> None:
    gain = before - gap
    numbers = {"gap": gap, "gap_before": before, "gain": gain, "gain_lo": gain - 1,
               "gain_hi": gain + 1, "gap_p": chance, "depth": depth}  # fmt: skip
    found = verdict({**GOOD, **numbers}, ORACLE)
    assert found is not None
    assert found.word in MEANINGS
    assert (found.word in BAD) == (gain - 1 <= 0 or depth < 50)
