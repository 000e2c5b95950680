"""Tables in Markdown, LaTeX, CSV and on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.table import Table as RichTable
from rich.text import Text

from mu.report.comparison.cautions import cautions
from mu.report.comparison.cells import write
from mu.report.comparison.controls import real_id
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.summary import summarise_table
from mu.report.comparison.table import EXPORTED, Table
from mu.report.console import make_console, print_notes
from mu.report.markdown import escape, markdown_table

LEGEND = (
    "Mean ± sample standard deviation over originals (of one: over seeds of unlearning); in "
    "brackets the mean distance to the oracle (Retrain); bold: no method is better in these "
    "columns. Rows nothing and logit_mask are controls: the original as it is, and with the output "
    "of the forgotten class hidden."
)
FIELDS = (
    "group", "original", "sparsity", "row", "method", "metric", "mean", "sd", "runs", "low",
    "high", "within", "originals", "distance", "best", "run_ids", "warnings",
)  # fmt: skip
ROOM = 9  # columns on a terminal; with more, those of exported networks are left to the files
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
        "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    }
)  # fmt: skip


class Form(NamedTuple):
    """How a kind of text writes labels, and numbers: the patterns of ``write``."""

    escape: Callable[[str], str]
    patterns: Mapping[str, str]


def latex_escape(text: str) -> str:
    """Text that means itself, in one line."""
    return " ".join(text.split()).translate(_LATEX)


FORMS = {
    "markdown": Form(escape, {"best": "**{}**", "distance": " ({})"}),
    "latex": Form(
        latex_escape,
        {
            "best": r"\textbf{{{}}}",
            "spread": r"$_{{\pm {}}}$",
            "distance": " ({})",
            "absent": "--",
        },
    ),
}


def _texts(table: Table, patterns: Mapping[str, str]) -> pd.DataFrame:
    """Texts of the cells: rows against originals and metrics; see ``write``."""
    columns = pd.MultiIndex.from_product([table.originals.index, table.metrics], names=["", ""])
    texts = [write(cell, **patterns) for cell in table.shown.itertuples()]
    return pd.DataFrame(np.reshape(texts, (-1, len(columns))), list(table.rows), columns)


def to_csv(tables: Sequence[Table]) -> str:
    """All tables, one below the other: a line for each number, with all digits.

    ``sd`` is the sample standard deviation over ``originals`` (of one: over ``runs`` runs),
    ``within`` that over seeds of unlearning of one original, ``low`` and ``high`` the ends of the
    95 % interval (of one run: over samples), ``distance`` the mean distance to the
    oracle, ``run_ids`` are apart by spaces, and ``warnings`` are the names of the rules of
    :mod:`mu.report.alarms` that apply to one of them. A number that is not there is empty.
    """
    cells = pd.concat([table.shown.assign(group=table.heading, warnings=_names(table))
                       for table in tables])  # fmt: skip
    cells = cells[cells["mean"].notna()].assign(
        run_ids=[" ".join(map(real_id, ids)) for ids in cells["run_ids"][cells["mean"].notna()]]
    )
    return str(cells.to_csv(columns=FIELDS, index=False, lineterminator="\n"))


def _names(table: Table) -> pd.Series[str]:
    """Names of the warnings about the runs behind each number, apart by spaces."""
    of_run = {run_id: [one.rule for one in its] for run_id, its in table.runs["alarms"].items()}
    return table.shown["run_ids"].map(
        lambda ids: " ".join(dict.fromkeys(name for run_id in ids for name in of_run[run_id]))
    )


def to_markdown(tables: Sequence[Table]) -> str:
    """All tables, each under its heading, with the cautions below."""
    parts = []
    for table in tables:
        notes = "".join(f"- {escape(note)}\n" for note in cautions(table))
        parts.append(f"### {escape(table.heading)}\n\n{table_lines(table)}\n{notes}")
    return "\n".join([*parts, f"{LEGEND}\n"])


def table_lines(table: Table) -> str:
    """One table in Markdown; with several blocks each column says which it is of."""
    texts = _texts(table, FORMS["markdown"].patterns)
    several = len(table.originals) > 1
    names = [f"{name} {original}" if several else name for original, name in texts.columns]
    rows = [[escape(label), *row] for label, *row in texts.itertuples()]
    return markdown_table(["", *map(escape, names)], rows, "l" + "r" * len(names))


def to_latex(tables: Sequence[Table]) -> str:
    r"""All tables, each a ``table`` environment; they need ``\usepackage{booktabs}``.

    The cautions are comments above each, since they are not for print.
    """
    head = "% needs \\usepackage{booktabs,graphicx}; wide tables are shrunk to the line\n"
    return head + "\n".join(map(_latex_table, tables))


def _latex_table(table: Table) -> str:
    texts = _texts(table, FORMS["latex"].patterns)
    titles = [one.upper() if one in ("dense", "sparse") else one for one in table.originals.index]
    bold = [rf"\textbf{{{latex_escape(one)}}}" for one in titles]
    names = [latex_escape(name) for name in table.metrics]
    texts.columns = pd.MultiIndex.from_product([bold, names], names=["", "Method"])
    texts.index = pd.Index([latex_escape(label) for label in texts.index])
    layout = "l" + "r" * texts.shape[1]
    lines = texts.to_latex(column_format=layout, multicolumn_format="c", escape=False).splitlines()
    oracles = list(table.rows.values()).count(ORACLE_METHOD)
    if 0 < oracles < len(texts):
        lines.insert(5 + oracles, r"\midrule")
    ends = range(1 + len(names), 2 + texts.shape[1], len(names))
    lines.insert(3, " ".join(rf"\cmidrule(lr){{{1 + end - len(names)}-{end}}}" for end in ends))
    tabular = "\n".join(lines)
    remarks = "".join(f"% {latex_escape(note)}\n" for note in cautions(table))
    return rf"""{remarks}\begin{{table}}[t]
\centering
\caption{{{latex_escape(table.heading)}. {latex_escape(LEGEND)}}}
\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%
{tabular}}}
\end{{table}}
"""


def print_tables(tables: Sequence[Table]) -> None:
    """All tables with what they say; an asterisk marks the best, nothing is read as markup."""
    console = make_console()
    for table in tables:
        console.print(table.heading, style="bold", soft_wrap=True)
        console.print(_terminal_table(table))
        console.print("\n".join(summarise_table(table)), soft_wrap=True)
        print_notes(cautions(table))


def _terminal_table(table: Table) -> RichTable:
    """A line for each method and way of pruning."""
    shown = RichTable("")
    full = len(table.metrics) > ROOM
    names = [name for name in table.metrics if not (full and name in EXPORTED)]
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    cells = table.shown[table.shown["metric"].isin(names)]
    for original, block in cells.groupby("original", sort=False):
        shown.add_section()
        shown.add_row(original, style="bold")
        for label, row in block.groupby("row", sort=False):
            if row["mean"].notna().any():
                texts = [(write(cell, spread="±{}"), cell.best) for cell in row.itertuples()]
                cells = [Text(f"{text}*", "bold") if best else text for text, best in texts]
                shown.add_row(f"  {label}", *cells)
    return shown
