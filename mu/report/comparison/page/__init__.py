"""The page: one HTML file that needs nothing else, neither network nor fonts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mu.evaluation.catalogue import metric
from mu.report.comparison.cautions import cautions
from mu.report.comparison.cells import number
from mu.report.comparison.figures import Drawing
from mu.report.comparison.figures.drawing import row_styles
from mu.report.comparison.formats import LEGEND
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.summary import summarise_table
from mu.report.comparison.table import OF_ORIGINALS, Table
from mu.run_record import Seeds

FOLDER = Path(__file__).parent
SHORT = 8  # letters of a run ID in a tip


def make_page(
    title: str,
    lead: str,
    tables: Sequence[Table],
    drawings: Sequence[Sequence[Drawing]],
    *,
    notes: Sequence[str] = (),
    run_id: str = "",
) -> str:
    """The page of a comparison.

    Everything that comes from runs is foreign text: the template escapes it. ``lead``: what was
    compared, below the title. ``drawings``: of each table. ``notes``: remarks on the runs as a
    whole. ``run_id``: of the comparison itself.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    environment.globals |= {
        "cautions": cautions, "looks_of": row_styles, "more_of": _more, "number": number,
        "originals_of": _originals, "summarise": summarise_table, "zip": zip,
        "seeds_of": lambda table, run_id: Seeds(*table.runs.loc[run_id, list(Seeds._fields)]),
    }  # fmt: skip
    return environment.get_template("page.html").render(
        title=title,
        lead=lead,
        groups=list(zip(tables, drawings, strict=True)),
        notes=notes,
        seeds=Seeds._fields,
        oracle_method=ORACLE_METHOD,
        definitions=_definitions(tables),
        legend=LEGEND,
        run_id=run_id,
        css=Markup((FOLDER / "page.css").read_text()),
        script=Markup((FOLDER / "page.js").read_text()),
    )


def _originals(table: Table) -> pd.DataFrame:
    """What is known of the originals before unlearning."""
    return table.originals[list(OF_ORIGINALS)].dropna(axis="columns", how="all")


def _more(cell: Any) -> str:
    """What a tip says of a number after its definition."""
    words = []
    ends = [number(cell.metric, end) for end in (cell.low, cell.high)]
    if all(ends):
        over = "seeds" if cell.runs > 1 else "samples"
        words.append(f"95 % interval over {over}: {' to '.join(ends)}")
    ids = ", ".join(run_id[:SHORT] for run_id in cell.run_ids)
    words.append(f"run{'s' if cell.runs > 1 else ''} {ids}")
    return "; ".join(words)


def _definitions(tables: Sequence[Table]) -> list[Any]:
    shown = [name for table in tables for name in (*table.metrics, *OF_ORIGINALS)]
    known = {"gap"}.union(*(one.cells["metric"][one.cells["mean"].notna()] for one in tables))
    return [metric(name) for name in dict.fromkeys(shown) if name in known]
