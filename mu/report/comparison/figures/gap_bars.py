"""Bars of the gap, with what is known of its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mu.report.comparison.cells import number
from mu.report.comparison.figures.drawing import (
    INK,
    WIDTH,
    Drawing,
    legend_below,
    row_styles,
    short_labels,
)
from mu.report.comparison.table import Table

_HATCHES = ("", "///", "\\\\\\", "xxx", "---", "|||")  # dots make an SVG of a megabyte


def gap_bars(table: Table) -> list[Drawing]:
    """The bars, if a run has a gap."""
    cells = list(table.found("gap").itertuples())
    if not cells:
        return []
    rows = [
        (
            cell.row,
            cell.original,
            *(number("gap", value) for value in (cell.mean, *ends_of(cell))),
            str(cell.runs),
        )
        for cell in cells
    ]
    return [
        Drawing(
            "gap",
            "Gap to the oracle",
            "Mean distance to the oracle over UA, RA, TA and MIA, in points: the smaller, the "
            "better. Whiskers: standard deviation over seeds; of a single run its 95 % interval "
            "over samples.",
            "Bars of the gap to the oracle, in points",
            ("method", "original", "gap", "from", "to", "runs"),
            rows,
            (WIDTH, 1.1 + 0.3 * len({cell.row for cell in cells}) * (len(table.originals) + 0.6)),
            lambda figure: _draw(figure, table, cells),
        )
    ]


def ends_of(cell: Any) -> tuple[float, float]:
    """The ends of a whisker: a standard deviation to either side, or a single run's interval."""
    if math.isnan(cell.sd):
        return cell.low, cell.high
    return max(0.0, cell.mean - cell.sd), cell.mean + cell.sd


def _draw(figure: Figure, table: Table, cells: Sequence[Any]) -> None:
    styles = row_styles(table)
    names = list(dict.fromkeys(cell.row for cell in cells))
    originals = list(table.originals.index)
    blocks = len(originals)
    axes = figure.subplots()
    height = 0.84 / blocks
    tops = [max(cell.mean, np.nan_to_num(ends_of(cell)[1])) for cell in cells]
    widest = max(tops)
    for cell, top in zip(cells, tops, strict=True):
        place = originals.index(cell.original)
        y = names.index(cell.row) + (place - (blocks - 1) / 2) * height
        axes.barh(
            y, cell.mean, height * 0.9, color=styles[cell.row].colour,
            alpha=1 - 0.65 * place / max(1, blocks - 1),
            hatch=_HATCHES[place % len(_HATCHES)], ec=INK, lw=0.5,
        )  # fmt: skip
        if not np.isnan(ends_of(cell)).any():
            axes.plot(ends_of(cell), [y, y], color=INK, lw=1.3, marker="|", ms=6)
        axes.text(top + 0.02 * widest, y, number("gap", cell.mean), va="center", fontsize=8)
    axes.set_yticks(range(len(names)), list(short_labels(names).values()))
    axes.invert_yaxis()
    axes.set(xlim=(0, widest * 1.14 or 1), xlabel="gap, points")
    axes.grid(axis="y", visible=False)
    if blocks > 1:
        handles = [
            Patch(fc="none", ec=INK, lw=0.6, label=kind,
                  hatch=_HATCHES[place % len(_HATCHES)])
            for place, kind in enumerate(short_labels(originals).values())
        ]  # fmt: skip
        legend_below(figure, handles)
