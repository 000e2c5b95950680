"""Markdown, LaTeX, CSV and the terminal: the same numbers, and foreign text that means itself."""

from __future__ import annotations

import csv
import io
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.report.comparison.cells import number, write
from mu.report.comparison.formats import (
    FIELDS,
    latex_escape,
    print_tables,
    table_lines,
    to_csv,
    to_latex,
    to_markdown,
)
from mu.report.comparison.table import Table, tabulate
from mu.report.markdown import escape as markdown_escape
from tests.helpers import laws
from tests.report.comparison.made import a_study, cell, make_run

EVIL = r"""<script>alert("x")</script> & 50% |a_b| \input{x} $y^2$ #~{} *`[z](u)"""


@pytest.fixture(scope="module")
def study() -> list[Table]:
    return tabulate(a_study())


def evil() -> list[Table]:
    return tabulate(
        [
            make_run("a", settings={"note": EVIL}, forget=EVIL, name=EVIL),
            make_run("b", settings={"note": "none"}, forget=EVIL),
        ]
    )


# --- Markdown -----------------------------------------------------------------------------


def split_cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_markdown_table_has_as_many_cells_in_every_line(study: list[Table]) -> None:
    lines = table_lines(study[0]).splitlines()
    assert {len(split_cells(line)) for line in lines} == {13}
    rows = {cells[0]: cells for cells in map(split_cells, lines)}
    assert rows["l1_sparse"][1] == "**98.00** ± 0.00 (2.00)"
    assert rows["ft"][2] == "59.50 ± 0.71 (40.50)"
    assert rows["retrain"][5] == "-"
    assert split_cells(lines[0])[1] == "UA dense"
    assert split_cells(lines[0])[7] == "UA 95 % sparse"


def test_a_single_block_needs_no_name_in_markdown() -> None:
    dense = [run for run in a_study() if run.sparsity == 0]
    head = split_cells(table_lines(tabulate(dense)[0]).splitlines()[0])
    assert head == ["", "UA", "MIA", "RA", "TA", "gap", "RTE"]


def test_foreign_text_in_markdown() -> None:
    lines = table_lines(evil()[0]).splitlines()
    assert len({len(split_cells(line)) for line in lines}) == 1
    text = to_markdown(evil())
    assert "<script>" not in re.sub(r"\\<", "", text)
    assert markdown_escape("l1_sparse") == "l1_sparse"
    assert markdown_escape("_a_ *b* [c](d)") == r"\_a\_ \*b\* \[c\](d)"
    assert markdown_escape("a\n| b") == r"a \| b"


# --- LaTeX --------------------------------------------------------------------------------


def columns(line: str) -> int:
    spans = sum(int(width) - 1 for width in re.findall(r"\\multicolumn\{(\d+)\}", line))
    return len(re.findall(r"(?<!\\)&", line)) + 1 + spans


def test_a_latex_table_is_whole(study: list[Table]) -> None:
    text = to_latex(study)
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    rules = [text.index(rf"\{name}rule") for name in ("top", "mid", "bottom")]
    assert rules == sorted(rules)
    assert r"\cmidrule(lr){2-7} \cmidrule(lr){8-13}" in text
    assert r"\begin{tabular}{lrrrrrrrrrrrr}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {columns(line) for line in body} == {13}
    assert r"l1\_sparse & \textbf{98.00}$_{\pm 0.00}$ (2.00)" in text
    assert r"\textbf{DENSE}" in text
    assert r"95 \% sparse" in text


LATEX_PLAIN = re.compile(
    r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\textless\{\}"
    r"|\\textgreater\{\}|\\textbar\{\}|\$\\pm\$|\\[{}$&#%_]|[^\\{}$&#%_~^<>|]"
)


@laws(80)
@given(st.text(alphabet=st.sampled_from("ab \\{}$&#%_~^<>|±"), max_size=20))
def test_nothing_in_foreign_text_is_latex(text: str) -> None:
    assert LATEX_PLAIN.sub("", latex_escape(text)) == ""


def test_foreign_text_in_latex() -> None:
    text = to_latex(evil())
    assert r"\input" not in text
    assert "<script>" not in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({columns(line) for line in body}) == 1


# --- CSV ----------------------------------------------------------------------------------


def test_csv_comes_back_with_every_digit(study: list[Table]) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(study))))
    expected = [one for table in study for one in table.shown.itertuples() if one.runs]
    assert len(lines) == len(expected) == 2 * (5 + 6 + 6)
    for line, own in zip(lines, expected, strict=True):
        assert list(line) == list(FIELDS)
        names = ("row", "method", "original", "sparsity", "metric", "best", "runs")
        assert [line[name] for name in names] == [str(getattr(own, name)) for name in names]
        assert tuple(line["run_ids"].split()) == own.run_ids
        for name in ("mean", "sd", "low", "high", "distance"):
            value = getattr(own, name)
            assert line[name] == ("" if math.isnan(value) else repr(value))


def test_foreign_text_in_csv_comes_back() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(evil()))))
    assert {line["row"] for line in lines} == {f"ft (note={EVIL})", "ft (note=not set)"}
    assert all(EVIL in line["group"] for line in lines)


def test_csv_has_the_requested_columns() -> None:
    lines = csv.DictReader(io.StringIO(to_csv(tabulate(a_study(), ["TA"]))))
    assert {line["metric"] for line in lines} == {"TA"}


# --- the terminal, and digits -------------------------------------------------------------


def test_the_terminal_shows_blocks_below_each_other(
    study: list[Table], capsys: pytest.CaptureFixture[str]
) -> None:
    print_tables(study)
    text = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    labels = [cells[0] for cells in lines if cells]
    rows = ["retrain", "ft", "l1_sparse"]
    assert labels == ["dense", *rows, "95 % sparse", *rows]
    assert "98.00±0.00*" in text
    assert "l1_sparse is nearest to the oracle" in text


def test_nothing_foreign_is_markup_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(tabulate([make_run("a", forget="[red]x[/red]")]))
    assert "[red]x[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("UA", 99.999, "100.00"), ("UA", -0.001, "0.00"), ("js_test", 0.1234, "0.123"),
        ("relearn_steps", 12.0, "12"), ("RTE", None, ""), ("gap", -1.005, "-1.00"),
    ],
)  # fmt: skip
def test_digits(metric: str, value: float | None, text: str) -> None:
    assert number(metric, value) == text


def test_what_is_not_there(study: list[Table]) -> None:
    absent = cell(study[0], "retrain", "gap")
    assert (write(absent), write(absent, absent="--")) == ("-", "--")


def test_one_column_of_one_block_in_every_format() -> None:
    tables = tabulate([make_run("a"), make_run("o", "retrain")], ["TA"])
    assert (
        table_lines(tables[0])
        == "| | TA |\n|---|---:|\n| retrain | 94.00 |\n| ft | 94.00 (0.00) |\n"
    )
    body = [line for line in to_latex(tables).splitlines() if line.endswith(r"\\")]
    assert {columns(line) for line in body} == {2}
    assert r"\cmidrule(lr){2-2}" in to_latex(tables)
    assert [line["mean"] for line in csv.DictReader(io.StringIO(to_csv(tables)))] == ["94.0"] * 2
