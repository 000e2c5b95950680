"""Figures: what is drawn, what is said of it, and that a page can hold it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from PIL import Image

from mu.methods import METHODS
from mu.report.comparison.figures import draw_all
from mu.report.comparison.figures.drawing import INK, LINES, LONGEST_LABEL, row_styles, short_labels
from mu.report.comparison.figures.gap_bars import ends_of
from mu.report.comparison.figures.radar import closeness
from mu.report.comparison.figures.trade_off import Point, pareto_front, points_of
from mu.report.comparison.table import Table, tabulate
from mu.report.palette import LOOKS, method_rank, style_of
from mu.run_record import RunRecord
from tests.helpers import laws
from tests.report.comparison.made import BEFORE, a_study, cell, make_run


@pytest.fixture(scope="module")
def study() -> Table:
    (table,) = tabulate(a_study())
    return table


def test_all_that_there_is_material_for(study: Table) -> None:
    (own,) = draw_all([study])
    assert [one.name for one in own] == ["gap", "trade_off", "sparsity", "radar_1", "radar_2"]
    (poor,) = draw_all(tabulate([make_run("a")]))
    assert poor == []
    oracle = make_run("o", "retrain", metrics={"ASR": 1.0})
    assert draw_all(tabulate([oracle])) == [[]]
    attacked = tabulate([make_run("a", metrics={**BEFORE, "ASR": 90.0, "ASR_before": 99.0})])
    (curve,) = draw_all(attacked)[0]
    assert curve.name == "backdoor"
    assert curve.rows == [
        ("ft", "dense", "90.00", "94.00"),
        ("original", "dense", "99.00", "95.00"),
    ]


def test_the_gap_against_the_latency_of_exported_networks() -> None:
    runs = a_study()
    for place, run in enumerate(runs):
        if run.method in ("ft", "l1_sparse"):
            run.metrics["latency_ms_compact"] = 4.0 - place / 10
    (table,) = tabulate(runs)
    (drawing,) = (one for one in draw_all([table])[0] if one.name == "latency")
    assert drawing.header == ("method", "original", "latency", "gap", "on the front")
    gaps = {(row, kind): gap for row, kind, _, gap, _ in drawing.rows}
    assert gaps["l1_sparse", "dense"] == "1.12"
    assert {row for row, _ in gaps} == {"ft", "l1_sparse"}
    front = [(float(x), float(y)) for *_, x, y, word in drawing.rows if word == "yes"]
    assert front
    assert all(
        any(x <= float(one[2]) and y <= float(one[3]) for x, y in front) for one in drawing.rows
    )


def exported(pruner: str, rate: float, ms: float) -> RunRecord:
    metrics = {"latency_ms": 6.0, "latency_ms_compact": ms, "file_mb_compact": ms / 10}
    original = {"prune_pruner": pruner, "prune_rate": rate}
    return make_run(f"{pruner}{rate}", original=original, metrics=metrics)


def test_what_pruning_buys_is_a_line_for_each_pruner(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [exported("omp", 0.0, 3.0), exported("omp", 0.9, 2.0)]
    assert "pruners_1" not in {one.name for one in draw_all(tabulate(runs))[0]}
    runs += [exported("channel", 0.9, 1.0), exported("channel", 0.99, 0.5)]
    figures = {one.name: one for one in draw_all(tabulate(runs))[0]}
    drawing = figures["pruners_1"]
    assert figures["sparsity"].caption.endswith("the same sparsity: 90 % sparse, omp.")
    plot, drawn = Axes.plot, []

    def noted(axes: Axes, x: pd.Series, y: pd.Series, *look: str, **more: Any) -> Any:
        drawn.append((more["label"], [*zip(x, y, strict=True)]))
        return plot(axes, x, y, *look, **more)

    monkeypatch.setattr(Axes, "plot", noted)
    drawing.svg("x")
    times = [points for label, points in drawn if label == "channel"][2]  # the third panel
    assert times == [(100.0, 2.0), (pytest.approx(10.0), 6.0), (pytest.approx(1.0), 12.0)]
    times = [points for label, points in drawn if label == "omp"][2]
    assert times == [(100.0, 2.0), (pytest.approx(10.0), 3.0)]
    assert [row[0] for row in drawing.rows] == [
        *("dense", "90 % sparse, channel", "90 % sparse, omp", "99 % sparse, channel"),
    ]


def test_names_are_apart_where_there_are_several_groups(study: Table) -> None:
    names = [one.name for own in draw_all([study, study]) for one in own]
    assert len(set(names)) == len(names)


def test_the_words_hold_the_numbers(study: Table) -> None:
    gap, scatter, *_ = draw_all([study])[0]
    row = "method l1_sparse, original dense, gap 1.12, from 0.95, to 1.30, runs 2"
    assert gap.alt.startswith("Bars of the gap to the oracle, in points; method ")
    assert row in gap.alt
    assert ("l1_sparse", "dense", "1.12", "0.95", "1.30", "2") in gap.rows
    assert ("ft", "dense", "40.25", "0.00", "no") in scatter.rows
    assert "original 95 % sparse, forgetting 0.45, utility 0.00, on the front yes" in scatter.alt


@pytest.mark.slow
def test_a_file_and_an_element_of_a_page(study: Table, tmp_path: Path) -> None:
    for drawing in draw_all([study])[0]:
        drawing.save(tmp_path)
        with Image.open(tmp_path / f"{drawing.name}.png") as image:
            assert image.width > 400
        one, other = (drawing.svg(prefix) for prefix in ("a-", "b-"))
        assert one.startswith("<svg viewBox=")
        assert drawing.svg("a-") == one  # the same each time
        found = [set(re.findall(r'\bid="([^"]*)"', text)) for text in (one, other)]
        assert found[0]
        assert not found[0] & found[1]
        used = re.findall(r'(?:href="#|url\(#)([^")]*)', one)
        assert set(used) <= found[0]
        for foreign in ("http:", "https:", "@import", "<script", INK, LINES):
            assert foreign not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", one)
        assert "var(--ink)" in one
        assert len(one) < 200_000


def test_foreign_text_in_a_figure_means_itself() -> None:
    runs = [
        make_run("o", "retrain"),
        make_run("a", oracle="o", settings={"x": "<b>$y$</b>"}, metrics={"gap": 1.0}),
        make_run("b", oracle="o", settings={"x": "z" + 99 * "x"}, metrics={"gap": 2.0}),
    ]
    for drawing in draw_all(tabulate(runs))[0]:
        svg = drawing.svg("a-")
        assert "<b>" not in svg
        assert 30 * "x" not in svg  # a long one leaves room for the figure
        assert "&lt;b&gt;$y$&lt;/b&gt;" in svg


# --- numbers behind them ------------------------------------------------------------------

POINTS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6)).map(
        lambda pair: Point("m", 0, float(pair[0]), float(pair[1]))
    ),
    max_size=10,
)


@laws(100)
@given(POINTS)
def test_the_pareto_front(points: list[Point]) -> None:
    def dominated(one: Point) -> bool:
        return any(
            other.across <= one.across
            and other.up <= one.up
            and (other.across, other.up) != (one.across, one.up)
            for other in points
        )

    front = pareto_front(points)
    assert set(front) == {one for one in points if not dominated(one)}
    assert front == sorted(front)


def test_distances_and_closeness(study: Table) -> None:
    point = next(one for one in points_of(study) if one.label == "ft" and one.block == 0)
    assert (point.across, point.up) == (40.25, 0.0)
    own = closeness(study, "dense")
    assert list(own) == ["ft", "l1_sparse"]
    assert own["ft"] == pytest.approx([60, 100, 100, 59.5, 100 * (1 - 2.5 / 8)])
    quick = [replace(run, metrics={**run.metrics, "RTE": 1.0 if run.is_oracle else 2.5})
             for run in a_study()]  # fmt: skip
    assert closeness(tabulate(quick)[0], "dense")["ft"][-1] == 0  # slower than the oracle
    unknown = [replace(run, metrics={n: v for n, v in run.metrics.items() if n != "RTE"})
               if run.is_oracle else run for run in a_study()]  # fmt: skip
    assert closeness(tabulate(unknown)[0], "dense") == {}


def test_whiskers(study: Table) -> None:
    gap = cell(study, "ft", "gap")
    assert ends_of(gap) == (gap.mean - gap.sd, gap.mean + gap.sd)
    (single,) = tabulate([run for run in a_study() if run.run_id in ("ft-d0", "retrain-d0")])
    assert ends_of(cell(single, "ft", "gap")) == (19.5, 20.5)


# --- one look -----------------------------------------------------------------------------


def lightness(colour: str) -> float:
    """Relative luminance, 0-1 (WCAG)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_looks_are_told_apart() -> None:
    for part in ("colour", "marker"):
        values = [getattr(style, part) for style in LOOKS.values()]
        assert len(set(values)) == len(values)
    for style in LOOKS.values():  # seen on white and on black
        light = lightness(style.colour)
        assert 1.05 / (light + 0.05) >= 2.5
        assert (light + 0.05) / 0.06 >= 2.5


def test_short_labels_are_never_the_same() -> None:
    long = [f"ft (path={'a' * 40}{n})" for n in range(3)]
    found = short_labels(["ft", *long])
    assert found["ft"] == "ft"
    assert len(set(found.values())) == 4
    assert max(map(len, found.values())) <= LONGEST_LABEL


def test_a_method_keeps_its_colour_whatever_else_there_is(study: Table) -> None:
    alone = tabulate([make_run("a"), make_run("b", settings={"lr": "1"})])[0]
    styles = row_styles(alone)
    assert {style.colour for style in styles.values()} == {row_styles(study)["ft"].colour}
    assert len({style.line for style in styles.values()}) == 2
    assert style_of("new") == style_of("new")
    several = tuple(sorted({*METHODS} - {*LOOKS})) + tuple(f"new_{n}" for n in range(20))
    assert len({style_of(one, several) for one in several}) == len(several)


def test_the_oracle_comes_first_and_unknown_methods_last() -> None:
    names = sorted(["zeta", "l1_sparse", "ft", "retrain", "alpha"], key=method_rank)
    assert names == ["retrain", "ft", "l1_sparse", "alpha", "zeta"]
