"""What an entry point prints, and whether anything is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from rich import box
from rich.console import Console
from rich.table import Table

COLUMNS = ("UA", "RA", "TA", "MIA")
OF_PLANTED = ("ASR", "ASR_source", "robust_acc", "IC_err", "Fgt")
WHERE_KNOWN = ("MIA_auc", *OF_PLANTED)
LAST = ("gap", "depth", "RTE")
WIDTH = 120  # letters, off a terminal
UNCUT = 300  # wide enough that nothing is cut
NARROW = 80  # letters of a line of words
Rows = Sequence[Mapping[str, float]] | Mapping[str, Mapping[str, float]]  # or by label
Texts = tuple[list[str], list[list[str]], str]  # columns, rows and layout of a table
_SILENT = ContextVar("silent", default=False)


@contextmanager
def silence() -> Iterator[None]:
    """Nothing of this module is printed in the block: a program gets results, not lines."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def say(line: str, *, error: bool = False) -> None:
    """Print a line on what is being done, at once; to stderr if it is no result."""
    if not _SILENT.get():
        print(line, file=sys.stderr if error else sys.stdout, flush=True)


def print_results(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """A table of models against UA, RA, TA, MIA (percent), gap (points) and RTE (seconds).

    Where they are known, also against MIA_auc (0-1), depth (percent), success and robust accuracy
    of a backdoor (percent), and the confusion of two classes (percent, and images).
    """
    print_table(title, result_columns(rows), rows)


def result_columns(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The metrics of a table of results."""
    known = {*COLUMNS, "gap", "RTE"}.union(*rows.values())
    return [one for one in (*COLUMNS, *WHERE_KNOWN, *LAST) if one in known]


def numbers(names: Sequence[str], rows: Rows) -> Texts:
    """Texts of a table of numbers, ``-`` where a row lacks one."""

    def line(row: Mapping[str, float]) -> list[str]:
        return [f"{row[name]:.2f}" if name in row else "-" for name in names]

    if isinstance(rows, Mapping):
        labelled = [[label, *line(row)] for label, row in rows.items()]
        return ["", *names], labelled, "l" + "r" * len(names)
    return [*names], list(map(line, rows)), "r" * len(names)


def print_table(title: str, names: Sequence[str], rows: Rows) -> None:
    """A table of :func:`numbers`."""
    print_texts(title, *numbers(names, rows))


def print_texts(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    layout: str,
    *,
    plain: bool = False,
) -> None:
    """A table of texts; nothing in it is read as markup.

    ``layout``: a letter for each column: ``l`` for words, ``r`` for numbers, to the right and in
    one line. ``plain``: without lines around the cells, and all of them in one line.
    """
    table = Table(box=None if plain else box.HEAVY_HEAD, pad_edge=not plain)
    for name, place in zip(columns, layout, strict=True):
        right = place == "r"
        table.add_column(name, justify="right" if right else "left", no_wrap=plain or right)
    for row in rows:
        table.add_row(*row)
    console = make_console(UNCUT if plain else WIDTH)
    if title:
        console.print(title, style="bold", soft_wrap=True)
    console.print(table)


def print_summary(title: str, values: Mapping[str, str]) -> None:
    """A title and aligned name-value lines, not wrapped, so that IDs and commands can be copied."""
    make_console().print(title, style="bold", soft_wrap=True)
    print_lines(values)


def print_lines(values: Mapping[str, str]) -> None:
    """Aligned name-value lines."""
    width = max(map(len, values))
    for name, value in values.items():
        make_console().print(f"  {name:<{width}}  {value}", soft_wrap=True)


def print_words(text: str, first: str = "") -> None:
    """Words in lines of at most 80 letters; a longer one, as an ID or a path, stays whole.

    ``first``: what the first line begins with; the others are indented by as much.
    """
    lines = textwrap.fill(
        text,
        NARROW,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    make_console().print(lines, soft_wrap=True)


def print_wrapped(values: Mapping[str, str], commands: Collection[str] = ()) -> None:
    """:func:`print_lines`, of words; ``commands``: names of those that are to be copied."""
    width = max(map(len, values))
    for name, value in values.items():
        if name in commands:
            print_lines({f"{name:<{width}}": value})
        else:
            print_words(value, f"  {name:<{width}}  ")


def print_notes(notes: Sequence[str]) -> None:
    """Remarks that the user should read."""
    for note in notes:
        make_console().print(f"note: {note}", soft_wrap=True)


def print_warnings(texts: Sequence[str]) -> None:
    """What makes the numbers above worth little."""
    for text in texts:
        make_console().print(f"warning: {text}", style="bold", soft_wrap=True)


def print_verdict(text: str) -> None:
    """What the numbers above come to."""
    make_console().print(f"verdict: {text}", style="bold", soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds in words: ``4 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def make_console(width: int = WIDTH) -> Console:
    """As wide as the terminal; off a terminal, as wide as given. Texts on it mean themselves."""
    console = Console(markup=False, emoji=False, highlight=False, quiet=_SILENT.get())
    if not console.is_terminal:
        console.width = width
    return console
