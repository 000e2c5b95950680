"""Tables in Markdown: what a run's page shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mu.report.comparison.cells import Cell
from mu.report.comparison.table import Table
from mu.report.comparison.wording import LEGEND, write

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
_INSIDE_A_WORD = re.compile(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])")


def escape(text: str) -> str:
    """Text that means itself; ``l1_sparse`` stays as it is, since that is no emphasis."""
    one_line = " ".join(text.split())
    return _INSIDE_A_WORD.sub("_", _SPECIAL.sub(r"\\\1", one_line))


def to_markdown(tables: Sequence[Table]) -> str:
    """All tables, each under its heading, with the notes below."""
    parts = [f"### {escape(one.heading)}\n\n{table_lines(one)}\n{_notes(one)}" for one in tables]
    return "\n".join([*parts, f"{LEGEND}\n"])


def table_lines(table: Table) -> str:
    """One table; with several blocks each column says which it is of."""
    several = len(table.blocks) > 1
    names = [
        f"{name} {block.label}" if several else name
        for block in table.blocks
        for name in table.metrics
    ]
    lines = [
        "| | " + " | ".join(map(escape, names)) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for row in table.rows:
        cells = [_cell(own.get(name)) for own in row.cells for name in table.metrics]
        lines.append(f"| {escape(row.label)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(cell: Cell | None) -> str:
    parts = write(cell)
    mean = f"**{parts.mean}**" if cell is not None and cell.best else parts.mean
    text = mean + (f" ± {parts.sd}" if parts.sd else "")
    return text + (f" ({parts.distance})" if parts.distance else "")


def _notes(table: Table) -> str:
    return "".join(f"- {escape(note)}\n" for note in table.notes)
