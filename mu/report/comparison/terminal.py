"""The tables in a terminal: a line for each method and way of pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table as RichTable
from rich.text import Text

from mu.report.comparison.cells import Cell
from mu.report.comparison.summary import summarise_table
from mu.report.comparison.table import Table
from mu.report.comparison.wording import write
from mu.report.console import make_console, print_notes


def print_tables(tables: Sequence[Table]) -> None:
    """All tables with what they say; an asterisk marks the best, nothing is read as markup."""
    console = make_console()
    for table in tables:
        shown = RichTable()
        shown.add_column("")
        for name in table.metrics:
            shown.add_column(name, justify="right", no_wrap=True)
        for place, block in enumerate(table.blocks):
            shown.add_row(Text(block.label, style="bold"))
            for row in table.rows:
                if row.cells[place]:
                    shown.add_row(Text(f"  {row.label}"), *_cells(table, row.cells[place]))
            if place < len(table.blocks) - 1:
                shown.add_section()
        console.print(table.heading, style="bold", soft_wrap=True, markup=False, highlight=False)
        console.print(shown)
        for sentence in summarise_table(table):
            console.print(sentence, soft_wrap=True, markup=False, highlight=False)
        print_notes(table.notes)


def _cells(table: Table, own: Mapping[str, Cell]) -> list[Text]:
    found = []
    for name in table.metrics:
        cell = own.get(name)
        best = cell is not None and cell.best
        text = write(cell).plain("±") + ("*" if best else "")
        found.append(Text(text, style="bold" if best else ""))
    return found
