"""The entry compare: choose runs, make tables, write them in every form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mu.cli.requests import CompareOptions, Request
from mu.errors import UserError
from mu.evaluation.catalogue import columns
from mu.report import console
from mu.report.comparison.cautions import cautions
from mu.report.comparison.figures import draw_all
from mu.report.comparison.formats import print_tables, to_csv, to_latex, to_markdown
from mu.report.comparison.page import make_page
from mu.report.comparison.summary import best_gap, summarise_table
from mu.report.comparison.table import Table, tabulate
from mu.report.markdown import escape
from mu.report.run_names import run_name
from mu.tasks.base import run_task
from mu.tasks.outputs import write_text
from mu.tracking import Chosen, Recorder, browse, browsed_at, choose_runs, connect

PAGE = "report/report.html"
TITLE = "Unlearn runs compared"
LEGEND = "*: no method is better in this column; ±: standard deviation over seeds"  # on a terminal
LONGEST = 7500  # letters of a description; MLflow takes 8,000


def compare(request: Request) -> None:
    """Compare the runs that were requested, in a run of its own."""
    options = CompareOptions.of(request.entry)
    metrics = columns(options.metrics)
    store = connect()
    if options.tracking_ui is not None:
        store = browsed_at(store, options.tracking_ui)
    chosen = choose_runs(store, options.run_ids, options.parent, options.experiment)
    tables = tabulate(chosen.runs, metrics)
    for name in metrics or ():
        if not any(table.has(name) for table in tables):
            raise UserError(
                f"no run has {name}; measure it first: mlflow run . -e evaluate -P run_id=ID -P "
                f"metrics={name}, or leave it out"
            )

    def work(recorder: Recorder) -> None:
        recorder.params(options.as_dict())
        _write(recorder, options.title or TITLE, chosen, tables, store.pages)
        recorder.metrics({"runs": chosen.count, "groups": len(tables)})
        for step, table in enumerate(tables):
            if (gap := best_gap(table)) is not None:
                recorder.metrics({"best_gap": gap}, step)
        recorder.describe(describe(chosen, tables))

    run_id, _ = run_task(store, "compare", run_name("compare", f"{chosen.count} runs"), work)
    print_tables(tables)
    if any(table.shown["best"].any() for table in tables):
        print(LEGEND)
    console.print_notes(chosen.notes)
    lines = {"runs": str(chosen.count), "comparison": run_id, "page": PAGE}
    console.print_lines({**lines, "browse": browse(store, run_id=run_id, artifact=PAGE)})


def _lead(chosen: Chosen, tables: Sequence[Table]) -> str:
    """What was compared, in a sentence."""
    further = len(chosen.runs) - chosen.count
    oracles = f", with {further} oracles that they are compared with" if further else ""
    groups = f", in {len(tables)} groups" if len(tables) > 1 else ""
    return f"{chosen.count} unlearn runs, {chosen.words}{oracles}{groups}."


def _write(
    recorder: Recorder, title: str, chosen: Chosen, tables: Sequence[Table], tracking_ui: str
) -> None:
    drawings = draw_all(tables)
    page = partial(
        make_page, title, _lead(chosen, tables), tables, notes=chosen.notes, tracking_ui=tracking_ui
    )
    files = {
        "table.md": to_markdown(tables),
        "table.csv": to_csv(tables),
        "table.tex": to_latex(tables),
        "table.html": page([[] for _ in tables]),
        Path(PAGE).name: page(drawings, run_id=recorder.run_id),
    }
    for name, text in files.items():
        write_text(recorder.folder / Path(PAGE).parent / name, text)
    for drawing in (one for own in drawings for one in own):
        drawing.save(recorder.folder / "plots")


def describe(chosen: Chosen, tables: Sequence[Table]) -> str:
    """The summary and the tables in Markdown, the tables left out where they are too long."""
    head = [f"**Comparison** of {escape(_lead(chosen, tables))} The page: artifact `{PAGE}`.", ""]
    for table in tables:
        head += [f"**{escape(table.heading)}**", ""]
        head += [f"- {escape(sentence)}" for sentence in summarise_table(table)]
        head += [""]
    words = "\n".join(head)
    whole = f"{words}\n{to_markdown(tables)}"
    if len(whole) <= LONGEST:
        return whole
    notes = "\n".join(f"- {escape(one)}" for table in tables for one in cautions(table))
    short = f"{words}\nThe tables are in the artifact `report/table.md`.\n\n{notes}"
    return short if len(short) <= LONGEST else f"{short[:LONGEST]} …"
