"""The page: one HTML file that needs nothing beside it, neither network nor fonts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mu.evaluation.catalogue import metric
from mu.report.comparison.cells import Cell
from mu.report.comparison.figures import Drawing
from mu.report.comparison.figures.drawing import row_looks
from mu.report.comparison.records import SeedRun
from mu.report.comparison.summary import summarise_table
from mu.report.comparison.table import OF_ORIGINALS, Row, Table
from mu.report.comparison.wording import ABSENT, LEGEND, number, write

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
    names = [name for name in OF_ORIGINALS if any(name in one.originals for one in table.blocks)]
    return {
        "heading": table.heading,
        "about": list(table.about.items()),
        "summary": summarise_table(table),
        "blocks": [block.label for block in table.blocks],
        "metrics": table.metrics,
        "rows": [
            {
                "label": row.label,
                "oracle": row.is_oracle,
                "colour": looks[row.label].colour,
                "cells": _cells(table, row, f"p{place}-{line}"),
            }
            for line, row in enumerate(table.rows)
        ],
        "notes": table.notes,
        "original_metrics": names,
        "originals": [
            (one.label, [number(n, one.originals.get(n)) or ABSENT for n in names])
            for one in table.blocks
            if names
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


def _cells(table: Table, row: Row, place: str) -> list[View]:
    """The cells of a row over all blocks, each with the runs behind it."""
    found = []
    for number_of_block, (block, own) in enumerate(zip(table.blocks, row.cells, strict=True)):
        for count, name in enumerate(table.metrics):
            cell = own.get(name)
            view: View = {"first": count == 0, "runs": [], "metric": name, "block": block.label}
            if cell is not None:
                view |= _cell(cell) | {"id": f"{place}-{number_of_block}-{count}"}
            found.append(view)
    return found


def _cell(cell: Cell) -> View:
    parts = write(cell)
    runs = [
        {**_linked(one.run), "seeds": str(one.run.seeds), "value": number(cell.metric, one.value)}
        for one in cell.values
    ]
    return {
        "value": cell.mean,
        "mean": parts.mean,
        "sd": parts.sd,
        "distance": parts.distance,
        "best": cell.best,
        "runs": runs,
        "more": _more(cell),
    }


def _more(cell: Cell) -> str:
    """What a tip says of a number beside its definition."""
    words = []
    if cell.low is not None and cell.high is not None:
        ends = " to ".join(number(cell.metric, end) for end in (cell.low, cell.high))
        words.append(f"95 % interval over {'seeds' if cell.over_seeds else 'samples'}: {ends}")
    ids = ", ".join(one.run.run_id[:SHORT] for one in cell.values)
    words.append(f"run{'s' if len(cell.values) > 1 else ''} {ids}")
    return "; ".join(words)


def _linked(run: SeedRun) -> View:
    """A run as the page names it; only addresses of pages become links."""
    return {"id": run.run_id, "url": run.url if run.url.startswith(("http://", "https://")) else ""}


def _runs(table: Table) -> list[View]:
    """All runs of a table: what each is, its seeds, and where it is found."""
    by_id = {run.run_id: run for run in table.runs}
    found: dict[str, View] = {}
    for row in table.rows:
        for block, own in zip(table.blocks, row.cells, strict=True):
            for cell in own.values():
                for one in cell.values:
                    run = one.run
                    found[run.run_id] = _linked(run) | {
                        "label": row.label,
                        "original": block.label,
                        "forget": run.forget,
                        "seeds": list(run.seeds),
                        "gap": _gap(own, run.run_id),
                        "name": run.name,
                        "oracle": _oracle(run, by_id),
                    }
    return list(found.values())


def _gap(own: Mapping[str, Cell], run_id: str) -> str:
    values = own["gap"].values if "gap" in own else ()
    return next((number("gap", one.value) for one in values if one.run.run_id == run_id), ABSENT)


def _oracle(run: SeedRun, by_id: Mapping[str, SeedRun]) -> View | None:
    if run.oracle_run_id is None:
        return None
    known = by_id.get(run.oracle_run_id)
    return {"id": run.oracle_run_id, "url": ""} if known is None else _linked(known)


def _definitions(tables: Sequence[Table]) -> list[Any]:
    shown = [name for table in tables for name in (*table.metrics, *OF_ORIGINALS)]
    known = {name for table in tables for row in table.rows for own in row.cells for name in own}
    return [metric(name) for name in dict.fromkeys(shown) if name in known or name == "gap"]
