"""The page: one HTML file that needs nothing else, neither network nor fonts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mu.evaluation.catalogue import metric
from mu.report.comparison.cautions import cautions
from mu.report.comparison.cells import ABSENT, number
from mu.report.comparison.figures import Drawing
from mu.report.comparison.figures.drawing import row_looks
from mu.report.comparison.formats import LEGEND
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.summary import summarise_table
from mu.report.comparison.table import OF_ORIGINALS, Table
from mu.run_record import Seeds

FOLDER = Path(__file__).parent
SHORT = 8  # letters of a run ID in a tip
View = dict[str, Any]


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

    Everything that comes from runs is foreign text: the template escapes it.

    Parameters
    ----------
    lead
        What was compared, below the title.
    drawings
        Of each table.
    notes
        Remarks on the runs as a whole.
    run_id
        Of the comparison itself.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    groups = [
        _group(table, own, place)
        for place, (table, own) in enumerate(zip(tables, drawings, strict=True), 1)
    ]
    return environment.get_template("page.html").render(
        title=title,
        lead=lead,
        groups=groups,
        notes=notes,
        runs=[one for table in tables for one in _runs(table)],
        definitions=_definitions(tables),
        legend=LEGEND,
        run_id=run_id,
        css=Markup((FOLDER / "page.css").read_text()),
        script=Markup((FOLDER / "page.js").read_text()),
    )


def _group(table: Table, drawings: Sequence[Drawing], place: int) -> View:
    looks = row_looks(table)
    known = table.originals[list(OF_ORIGINALS)].dropna(axis="columns", how="all")
    return {
        "heading": table.heading,
        "about": list(table.about.items()),
        "summary": summarise_table(table),
        "blocks": list(table.originals.index),
        "metrics": table.metrics,
        "rows": [
            {
                "label": label,
                "oracle": table.rows[label] == ORACLE_METHOD,
                "colour": looks[label].colour,
                "cells": [
                    _cell(table, cell, f"p{place}-{line}-{column}")
                    for column, cell in enumerate(cells.itertuples())
                ],
            }
            for line, (label, cells) in enumerate(table.shown.groupby("row", sort=False))
        ],
        "notes": cautions(table),
        "original_metrics": list(known),
        "originals": [
            (label, [number(name, value) or ABSENT for name, value in own.items()])
            for label, own in known.iterrows()
            if len(own)
        ],
        "figures": [
            {
                "title": one.title,
                "alt": one.alt,
                "caption": one.caption,
                "header": one.header,
                "rows": one.rows,
                "svg": Markup(one.svg(f"f{place}-{count}-")),  # matplotlib escapes its texts
            }
            for count, one in enumerate(drawings)
        ],
    }


def _cell(table: Table, cell: Any, place: str) -> View:
    """A number with the runs behind it."""
    runs = [
        {
            **_linked(table, run_id),
            "seeds": str(Seeds(*table.runs.loc[run_id, list(Seeds._fields)])),
            "value": number(cell.metric, value),
        }
        for run_id, value in zip(cell.run_ids, cell.per_run, strict=True)
    ]
    return {
        "first": cell.metric == table.metrics[0],
        "metric": cell.metric,
        "block": cell.original,
        "value": cell.mean,
        **{part: number(cell.metric, getattr(cell, part)) for part in ("mean", "sd", "distance")},
        "best": cell.best,
        "runs": runs,
        "more": _more(cell),
        "id": place,
    }


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


def _linked(table: Table, run_id: str) -> View:
    """A run as the page names it; only addresses of pages become links."""
    url = str(table.runs["url"].get(run_id, ""))
    return {"id": run_id, "url": url if url.startswith(("http://", "https://")) else ""}


def _runs(table: Table) -> list[View]:
    """All runs of a table: what each is, its seeds, and where it is found."""
    return [
        {
            **own,
            **_linked(table, run_id),
            "seeds": [own[name] for name in Seeds._fields],
            "gap": number("gap", own["gap"]) or ABSENT,
            "oracle": _linked(table, own["named"]) if own["named"] else None,
        }
        for run_id, own in table.runs.to_dict("index").items()
    ]


def _definitions(tables: Sequence[Table]) -> list[Any]:
    shown = [name for table in tables for name in (*table.metrics, *OF_ORIGINALS)]
    known = {"gap"}.union(*(one.cells["metric"][one.cells["mean"].notna()] for one in tables))
    return [metric(name) for name in dict.fromkeys(shown) if name in known]
