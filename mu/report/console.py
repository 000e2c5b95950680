"""What an entry point prints when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

COLUMNS = ("UA", "RA", "TA", "MIA", "gap", "RTE")
OF_BACKDOORS = ("ASR", "ASR_source", "robust_acc")


def print_results(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """A table of models against UA, RA, TA, MIA (percent), gap (points) and RTE (seconds).

    Where a backdoor was planted, also against its success and robust accuracy (percent).
    """
    planted = [name for name in OF_BACKDOORS if any(name in row for row in rows.values())]
    names = [*COLUMNS[:-2], *planted, *COLUMNS[-2:]]
    print_table(title, names, list(rows.values()), list(rows))


def print_table(
    title: str,
    names: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    labels: Sequence[str] = (),
) -> None:
    """A table of numbers, ``-`` where a row lacks one.

    Parameters
    ----------
    labels
        Of the rows, if they have any.
    """
    table = Table()
    if labels:
        table.add_column("")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = [f"{row[name]:.2f}" if name in row else "-" for name in names]
        table.add_row(*labels[number : number + 1], *cells)
    console = make_console()
    console.print(title, style="bold", soft_wrap=True, markup=False, highlight=False)
    console.print(table)


def print_summary(title: str, values: Mapping[str, str]) -> None:
    """A title and aligned name-value lines, not wrapped, so that IDs and commands can be copied."""
    console = make_console()
    console.print(title, style="bold", soft_wrap=True, markup=False)
    print_lines(values)


def print_lines(values: Mapping[str, str]) -> None:
    """Aligned name-value lines."""
    console = make_console()
    width = max(map(len, values))
    for name, value in values.items():
        console.print(f"  {name:<{width}}  {value}", soft_wrap=True, markup=False, highlight=False)


def print_notes(notes: Sequence[str]) -> None:
    """Remarks that the user should read."""
    for note in notes:
        make_console().print(f"note: {note}", soft_wrap=True, markup=False, highlight=False)


def wide_console() -> Console:
    """As wide as the terminal; off a terminal, wide enough that nothing is cut."""
    return Console(width=None if Console().is_terminal else 300, highlight=False)


def make_console() -> Console:
    """As wide as the terminal; off a terminal, a hundred letters."""
    return Console(width=None if Console().is_terminal else 100)
