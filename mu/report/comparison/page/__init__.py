"""The page: one HTML file that needs nothing else, neither network nor fonts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mu.evaluation.catalogue import metric
from mu.evaluation.controls import NOTHING
from mu.report import charts
from mu.report.comparison.cautions import cautions
from mu.report.comparison.cells import number
from mu.report.comparison.figures import Drawing
from mu.report.comparison.figures.drawing import row_styles
from mu.report.comparison.formats import LEGEND
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.page.data import as_json, axes_of, more, seeds
from mu.report.comparison.summary import summarise_table
from mu.report.comparison.table import OF_ORIGINALS, Table
from mu.report.pages import environment, joined
from mu.run_record import Seeds

FOLDER = Path(__file__).parent
SCRIPTS = ("page.js", "runs.js", "bench.js", "charts.js")


def make_page(
    title: str,
    lead: str,
    tables: Sequence[Table],
    drawings: Sequence[Sequence[Drawing]],
    *,
    notes: Sequence[str] = (),
    run_id: str = "",
    tracking_ui: str = "",
) -> str:
    """The page of a comparison.

    Everything that comes from runs is foreign text: the template escapes it. ``lead``: what was
    compared, below the title. ``drawings``: of each table. ``notes``: remarks on the runs as a
    whole. ``run_id``: of the comparison itself. ``tracking_ui``: the server to which links to runs
    lead even where another one shows the page. Charts are there where drawings are.
    """
    made = environment(FOLDER)
    made.globals |= {
        "cautions": cautions, "looks_of": row_styles, "more_of": more, "number": number,
        "originals_of": _originals, "summarise": summarise_table, "zip": zip,
        "axes_of": axes_of, "seeds_of": seeds,
    }  # fmt: skip
    return made.get_template("page.html").render(
        title=title,
        lead=lead,
        groups=list(zip(tables, drawings, strict=True)),
        notes=notes,
        seeds=Seeds._fields,
        oracle_method=ORACLE_METHOD,
        definitions=_definitions(tables),
        legend=LEGEND,
        run_id=run_id,
        tracking_ui=tracking_ui,
        css=joined(FOLDER / "page.css"),
        data=as_json(tables),
        charts=charts.scripts() if any(drawings) else "",
        script=joined(*(FOLDER / one for one in SCRIPTS)),
    )


def _originals(table: Table) -> pd.DataFrame:
    """What is known of the originals before unlearning; their gap is that of doing nothing."""
    cells = table.found("gap").query(f"method == '{NOTHING}'")
    gaps = cells.groupby("original")["mean"].first()
    return table.originals[list(OF_ORIGINALS)].assign(gap=gaps).dropna(axis="columns", how="all")


def _definitions(tables: Sequence[Table]) -> list[Any]:
    shown = [name for table in tables for name in (*table.metrics, *OF_ORIGINALS)]
    known = {"gap"}.union(*(one.cells["metric"][one.cells["mean"].notna()] for one in tables))
    return [metric(name) for name in dict.fromkeys(shown) if name in known]
