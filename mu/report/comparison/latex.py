r"""Tables in LaTeX, with booktabs: what a paper takes with ``\input``."""

from __future__ import annotations

from collections.abc import Sequence

from mu.report.comparison.cells import Cell
from mu.report.comparison.table import Block, Table
from mu.report.comparison.wording import ABSENT, LEGEND, write

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
}  # fmt: skip


def escape(text: str) -> str:
    """Text that means itself, in one line."""
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def to_latex(tables: Sequence[Table]) -> str:
    r"""All tables, each a ``table`` environment; they need ``\usepackage{booktabs}``."""
    head = "% needs \\usepackage{booktabs,graphicx}; wide tables are shrunk to the line\n"
    return head + "\n".join(map(_table, tables))


def _table(table: Table) -> str:
    width, blocks = len(table.metrics), table.blocks
    spans = [
        rf"\multicolumn{{{width}}}{{c}}{{\textbf{{{escape(_title(block))}}}}}" for block in blocks
    ]
    rules = [rf"\cmidrule(lr){{{2 + n * width}-{1 + (n + 1) * width}}}" for n in range(len(blocks))]
    names = [escape(name) for _ in blocks for name in table.metrics]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(table.heading)}. {escape(LEGEND)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * width * len(blocks)}}}",
        r"\toprule",
        f" & {' & '.join(spans)} " + r"\\",
        " ".join(rules),
        f"Method & {' & '.join(names)} " + r"\\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [_cell(own.get(name)) for own in row.cells for name in table.metrics]
        lines.append(f"{escape(row.label)} & {' & '.join(cells)} " + r"\\")
        if row.is_oracle and table.methods:
            lines.append(r"\midrule")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _title(block: Block) -> str:
    return block.label.upper() if block.label in ("dense", "sparse") else block.label


def _cell(cell: Cell | None) -> str:
    parts = write(cell)
    if parts.mean == ABSENT:
        return "--"
    mean = rf"\textbf{{{parts.mean}}}" if cell is not None and cell.best else parts.mean
    text = mean + (rf"$_{{\pm {parts.sd}}}$" if parts.sd else "")
    return text + (f" ({parts.distance})" if parts.distance else "")
