"""What the page's scripts need: a table as one block of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from mu.evaluation.catalogue import metric
from mu.evaluation.controls import CONTROLS
from mu.report.comparison.cells import number, write
from mu.report.comparison.controls import real_id
from mu.report.comparison.figures.drawing import row_styles
from mu.report.comparison.figures.trade_off import FORGETTING, UTILITY, points_of
from mu.report.comparison.formats import FORMS
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.table import Table
from mu.run_record import Seeds

SHORT = 8  # letters of a run ID in a tip
MOST = 6  # runs in a tip
# Axes of the scatter that are no metrics: what is forgotten and what is kept, as one number each.
TRADED = {
    "forgetting": f"forgetting: distance of {' and '.join(FORGETTING)}, points",
    "utility": f"utility: distance of {' and '.join(UTILITY)}, points",
}


def as_json(tables: Sequence[Table]) -> Markup:
    """The tables for a ``<script>`` element, which no foreign text in them can end."""
    text = json.dumps([_table(table) for table in tables], separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def more(table: Table, cell: Any) -> str:
    """What a tip says of a number: its interval, and the seeds and IDs of its runs; a line each."""
    lines = []
    ends = [number(cell.metric, end) for end in (cell.low, cell.high)]
    if all(ends):
        over = "seeds" if cell.runs > 1 else "samples"
        lines.append(f"95 % interval over {over}: {' to '.join(ends)}")
    lines += [
        f"run {real_id(run_id)[:SHORT]} · seeds {seeds(table, run_id)}"
        for run_id in cell.run_ids[:MOST]
    ]
    if cell.runs > MOST:
        lines.append(f"and {cell.runs - MOST} more runs")
    return "\n".join(lines)


def seeds(table: Table, run_id: str) -> str:
    """Its seeds in the order of :class:`Seeds`, short."""
    return "/".join(str(table.runs.at[run_id, name]) for name in Seeds._fields)


def axes_of(table: Table) -> list[str]:
    """What there are numbers of: the columns first, then the rest."""
    names = dict.fromkeys((*table.metrics, *table.cells["metric"]))
    traded = list(TRADED) if points_of(table) else []
    return [name for name in names if table.has(name)] + traded


def _table(table: Table) -> dict[str, Any]:
    styles = row_styles(table)
    rows = [
        {**_text(label), "kind": _kind(method), "colour": styles[label].colour}
        for label, method in table.rows.items()
    ]
    return {
        "rows": rows,
        "originals": [_text(label) for label in table.originals.index],
        "metrics": [_text(name) for name in table.metrics],
        "axes": {name: _axis(name) for name in axes_of(table)},
        "cells": [*_cells(table), *_traded(table)],
    }


def _text(label: str) -> dict[str, str]:
    """A label, and how the forms in which a table can be copied write it."""
    return {"label": label, **{name: form.escape(label) for name, form in FORMS.items()}}


def _kind(method: str) -> str:
    if method == ORACLE_METHOD:
        return "oracle"
    return "control" if method in CONTROLS else "method"


def _axis(name: str) -> dict[str, Any]:
    """What stands along an axis, and whether its numbers have a largest one."""
    if name in TRADED:
        return {"words": TRADED[name], "bounded": False}
    one = metric(name)
    words = f"{name}, {one.unit} (better: {one.better})"
    return {"words": words, "bounded": one.unit in ("%", "0-1")}


def _cells(table: Table) -> Iterator[dict[str, Any]]:
    rows, originals = list(table.rows), list(table.originals.index)
    for cell in table.cells[table.cells["mean"].notna()].itertuples():
        ends = (cell.low, cell.high)
        if not math.isnan(cell.sd):
            ends = (cell.mean - cell.sd, cell.mean + cell.sd)
        yield {
            "row": rows.index(cell.row),
            "original": originals.index(cell.original),
            "metric": cell.metric,
            "mean": cell.mean,
            "ends": ends if all(map(math.isfinite, ends)) else None,
            "text": write(cell, distance=" ({})"),
            "more": more(table, cell),
            **{name: write(cell, **form.patterns) for name, form in FORMS.items()},
        }


def _traded(table: Table) -> Iterator[dict[str, Any]]:
    rows = list(table.rows)
    for point in points_of(table):
        for name, mean in zip(TRADED, (point.across, point.up), strict=True):
            yield {
                "row": rows.index(point.label),
                "original": point.block,
                "metric": name,
                "mean": mean,
                "ends": None,
                "text": f"{mean:.2f}",
                "more": "",
            }
