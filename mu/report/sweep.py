"""What a sweep shows: its plan, how far it is, and what came of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mu.report.console import make_console
from mu.tasks.sweep.plan import KINDS, Task
from mu.tasks.sweep.schedule import STATES

PLURAL = {"original": "originals", "oracle": "oracles", "cell": "cells"}


def duration(seconds: float) -> str:
    """Seconds in words: ``4 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def print_plan(
    tasks: Sequence[Task], done: Mapping[str, object], estimates: Mapping[str, float | None]
) -> None:
    """A table of the tasks by kind, and what is to be made.

    Parameters
    ----------
    done
        Has the keys of tasks that are finished already.
    estimates
        Seconds, by key, of the tasks that are to be made; None where nothing is known.
    """
    table = Table()
    table.add_column("")
    for name in ("planned", "finished", "to make", "estimated"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind in KINDS:
        own = [task.key for task in tasks if task.kind == kind]
        left = [key for key in own if key not in done]
        cells = (len(own), len(own) - len(left), len(left))
        table.add_row(PLURAL[kind], *map(str, cells), _estimated([estimates[key] for key in left]))
    make_console().print(table)


def _estimated(seconds: Sequence[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    unknown = len(seconds) - len(known)
    if not seconds:
        return "-"
    if not known:
        return "unknown"
    return duration(sum(known)) + (f" + {unknown} unknown" if unknown else "")


class Board:
    """How far a sweep is: a live table on a terminal, a line for each change elsewhere."""

    def __init__(self) -> None:
        # Tasks that run in this process have its output redirected meanwhile; the board has not.
        self._console = Console(file=sys.stdout)
        terminal = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False) if terminal else None
        self._counts: Mapping[str, Counter[str]] = {}

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)
        self._console.file.flush()

    def event(self, line: str) -> None:
        """A run began or ended: a line, where there is no table."""
        if self._live is None:
            self.say(f"[{self._done()}] {line}")

    def show(self, counts: Mapping[str, Counter[str]], seconds_left: float | None) -> None:
        """Draw the table anew.

        Parameters
        ----------
        counts
            Of the tasks of each kind in each state.
        """
        self._counts = counts
        if self._live:
            self._live.update(board_table(counts, seconds_left), refresh=True)

    def _done(self) -> str:
        done = sum(count["done"] for count in self._counts.values())
        return f"{done}/{sum(count.total() for count in self._counts.values())}"


def board_table(counts: Mapping[str, Counter[str]], seconds_left: float | None) -> Table:
    """Kinds of tasks against their states."""
    left = "time left unknown" if seconds_left is None else f"about {duration(seconds_left)} left"
    table = Table("", caption=left, caption_justify="left")
    for state in STATES:
        table.add_column(state, justify="right")
    for kind in KINDS:
        if kind in counts:
            table.add_row(PLURAL[kind], *(str(counts[kind][state]) for state in STATES))
    return table
