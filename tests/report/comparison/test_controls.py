"""Controls in tables: what doing nothing has, and what is no better is never the best."""

from __future__ import annotations

import pytest

from mu.report.comparison.controls import controls_of
from mu.report.comparison.formats import to_csv, to_markdown
from mu.report.comparison.summary import best_gap, summarise_table
from mu.report.comparison.table import Table, tabulate
from mu.run_record import RunRecord
from tests.report.comparison.made import BEFORE, a_study, cell, make_run

MASKED = {"UA_logit_mask": 100.0, "RA_logit_mask": 99.0, "TA_logit_mask": 94.0,
          "MIA_logit_mask": 100.0, "gap_logit_mask": 0.2}  # fmt: skip
JUDGE = {"UA": 100.0, "RA": 99.0, "TA": 94.0, "MIA": 100.0}


def made(name: str, method: str, **metrics: float) -> RunRecord:
    found = {**BEFORE, **MASKED, "gap_before": 50.0, "gain_lo": 1.0, "gap_p": 0.0, **metrics}
    return make_run(name, method, oracle="o", metrics=found)


def table_of(*runs: RunRecord) -> Table:
    (table,) = tabulate([make_run("o", "retrain", metrics=JUDGE), *runs])
    return table


def test_the_controls_are_rows_with_their_gaps() -> None:
    table = table_of(made("a", "ft", gap=3.0, gain=47.0))
    assert list(table.rows) == ["retrain", "nothing", "logit_mask", "ft"]
    assert cell(table, "nothing", "gap").mean == 50.0
    assert cell(table, "nothing", "UA").mean == 0.0
    assert cell(table, "nothing", "RTE").mean == 0.0
    assert cell(table, "nothing", "depth").runs == 0
    deep = table_of(made("a", "ft", gap=3.0, gain=47.0, depth=80.0))
    assert cell(deep, "nothing", "depth").mean == 0.0
    assert cell(table, "logit_mask", "gap").mean == 0.2
    assert not any(cell(table, one, "gap").best for one in ("nothing", "logit_mask"))
    assert best_gap(table) == 3.0, "of methods, which the mask is not"
    for text in (to_markdown([table]), to_csv([table])):
        assert "logit_mask" in text
        assert "#" not in text.replace("###", "")


def test_runs_of_earlier_versions_are_compared_with_the_oracle_anew() -> None:
    old = make_run("a", "ft", oracle="o", metrics={**BEFORE, "gap": 3.0})
    table = table_of(old)
    # UA 0, RA 100, TA 95 and MIA 1 against 100, 99, 94 and 100.
    assert cell(table, "nothing", "gap").mean == pytest.approx((100 + 1 + 1 + 99) / 4)
    assert cell(table, "ft", "gain").mean == pytest.approx(50.25 - 3.0)


def test_a_run_of_a_control_stands_for_itself_and_each_original_counts_once() -> None:
    runs = [made("a", "ft", gap=3.0, gain=47.0), made("b", "ga", gap=4.0, gain=46.0)]
    assert len(list(controls_of(runs))) == 2
    real = made("n", "nothing", gap=50.0, gain=0.0)
    assert [one.method for one in controls_of([*runs, real])] == ["logit_mask"]


@pytest.mark.parametrize(
    ("metrics", "word"),
    [
        ({"gap": 1.0, "gain": 49.0, "gain_lo": -0.5, "gain_hi": 60.0}, "useless"),
        ({"gap": 1.0, "gain": 49.0, "RA": 60.0}, "destroyed"),
        ({"gap": 1.0, "gain": 49.0, "depth": 3.0}, "shallow"),
    ],
)
def test_what_is_bad_is_never_the_best_and_is_said(metrics: dict[str, float], word: str) -> None:
    good = made("b", "ga", gap=9.0, gain=41.0, depth=100.0, RTE=9.0)
    more = made("c", "iu", gap=9.5, gain=41.0, depth=100.0, RTE=9.5)
    table = table_of(made("a", "ft", RTE=0.1, **metrics), good, more)
    assert not any(cell(table, "ft", name).best for name in table.metrics)
    assert cell(table, "ga", "gap").best
    (words,) = summarise_table(table)
    assert "Doing nothing has a gap of 50.00" in words
    assert f"{word.capitalize()} (" in words
    assert words.index("ft is nearest") < words.index(word.capitalize())


def test_controls_are_no_methods_in_cautions() -> None:
    """They have one seed where methods have several, and no oracle of their own to look for."""
    before = {**BEFORE, "gap_before": 50.0}
    runs = [
        make_run(f"{n}{s}", n, oracle="o", seed=s, metrics={**before, "gap": 1.0 + s})
        for n in ("ft", "ga")
        for s in (0, 1)
    ]
    text = to_markdown([table_of(*runs)])
    assert "different seeds" not in text
    assert "all runs share the training seed" in text


def test_the_study_has_no_controls_since_its_runs_say_nothing_of_their_original() -> None:
    assert list(controls_of(a_study())) == []
