"""Methods by their gap on the terminal, averaged over seeds, in as many columns as fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from mu.evaluation.controls import CONTROLS
from mu.report import console
from mu.report.comparison.cautions import cautions
from mu.report.comparison.cells import write
from mu.report.comparison.controls import real_id
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.table import Table, verdicts
from mu.report.run_names import ID_SHOWN

RESULTS = ("UA", "RA", "TA", "MIA", "ASR", "gap", "depth", "RTE")
RANKS = ("gap", "gain", "depth", "RTE")
RUNS, VERDICT = "runs", "verdict"
DROPPED = (VERDICT, "RTE", "depth", "gain", "ASR")  # in this order, where a line is too short
SPACE = 2  # between columns
WIDTH = console.WIDTH  # letters, off a terminal
MOST_IDS = 4
LEGEND = (
    "mean ± standard deviation over seeds; *: the smallest gap of the methods, those left out that "
    "are no better than doing nothing"
)
LEGEND_WITHOUT = "mean ± standard deviation over seeds"


def print_rankings(tables: Sequence[Table], names: Sequence[str]) -> list[str]:
    """A table for each kind of original and forget set, with the IDs of the best runs below.

    Of methods that are all no better than doing nothing, none is best: then those of the smallest
    gap. Gives these IDs, whole. ``names``: metrics that are shown where a run has them.
    """
    best: list[str] = []
    marked = False
    for table in tables:
        words = verdicts(table.runs)
        for original, block in table.cells.groupby("original", sort=False):
            title = f"{table.heading}; {original}"
            ranked = list(_ranked(block))
            if not ranked:
                console.print_summary(title, {"gap": "no run was compared with an oracle"})
                continue
            shown = [name for name in names if _has(block, name)]
            verdict = {row: str(words.get((row, original), "")) for row, _ in ranked}
            columns, rows = _fitted(ranked, shown, verdict)
            layout = "l" + "".join("l" if one == VERDICT else "r" for one in columns[1:])
            console.print_texts(title, columns, rows, layout, plain=True)
            gaps = [cells["gap"] for _, cells in ranked if _competes(cells["gap"])]
            if gaps:
                first = next((one for one in gaps if one.best), gaps[0])
                marked |= bool(first.best)
                found = [*map(real_id, first.run_ids)]
                more = f" and {len(found) - MOST_IDS} more" if len(found) > MOST_IDS else ""
                ids = " ".join(one[:ID_SHOWN] for one in found[:MOST_IDS])
                word = "best" if first.best else "smallest gap"
                console.print_lines({word: f"{first.row}: {ids}{more}"})
                best += found
    if tables:
        print(LEGEND if marked else LEGEND_WITHOUT)
    return best


def print_cautions(tables: Sequence[Table]) -> None:
    """What a reader of the tables should know, once where several tables say it."""
    console.print_notes([*dict.fromkeys(note for table in tables for note in cautions(table))])


def _has(block: pd.DataFrame, name: str) -> bool:
    return bool(block["mean"][block["metric"] == name].notna().any())


def _ranked(block: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their cells by metric: oracles, then the smallest gap first."""
    rows = []
    for row, own in block.groupby("row", sort=False):
        cells = {cell.metric: cell for cell in own.itertuples()}
        if own["mean"].notna().any():
            rows.append((str(row), cells))
    if any(cells["gap"].mean == cells["gap"].mean for _, cells in rows):
        yield from sorted(rows, key=lambda one: _order(one[1]["gap"]))


def _competes(gap: Any) -> bool:
    """Whether it is a method's, and known."""
    return gap.method != ORACLE_METHOD and gap.method not in CONTROLS and gap.mean == gap.mean


def _order(gap: Any) -> tuple[bool, float]:
    known = gap.mean == gap.mean
    return gap.method != ORACLE_METHOD, gap.mean if known else float("inf")


def _fitted(
    ranked: Sequence[tuple[str, dict[str, Any]]], names: Sequence[str], verdict: dict[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows that fit: first only the gap keeps its spread, then columns are left out."""
    width = console.make_console(WIDTH).width
    kept = [*names, RUNS, VERDICT]
    for spread in (set(names), {"gap"}):
        rows = [_line(row, cells, kept, spread, verdict) for row, cells in ranked]
        if _width(["", *kept], rows) <= width:
            return ["", *kept], rows
    for name in (one for one in DROPPED if one in kept):
        kept.remove(name)
        rows = [_line(row, cells, kept, {"gap"}, verdict) for row, cells in ranked]
        if _width(["", *kept], rows) <= width:
            break
    return ["", *kept], rows


def _line(
    row: str,
    cells: dict[str, Any],
    columns: Sequence[str],
    spread: set[str],
    verdict: dict[str, str],
) -> list[str]:
    texts = {VERDICT: verdict[row], RUNS: str(max(cell.runs for cell in cells.values()))}
    for name in columns:
        if name in cells:
            cell = cells[name]
            mark = "*" if name == "gap" and cell.best else ""
            pattern = "±{}" if name in spread else ""
            texts[name] = write(cell, spread=pattern, absent="") + mark
    return [row, *(texts[name] for name in columns)]


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widest = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(widest) + SPACE * len(widest)
