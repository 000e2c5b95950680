"""How far long work is: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 30.0
Advance = Callable[[int, str], None]  # called with samples that are done, and a note


@contextmanager
def bar(label: str, total: int) -> Iterator[Advance]:
    """A bar on a terminal, with its rate in images a second."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[rate]}  {task.fields[note]}"),
        TimeRemainingColumn(),
    )
    start = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=total, rate="", note="")

        def advance(samples: int, note: str) -> None:
            done = bars.tasks[task].completed + samples
            rate = done / max(time.perf_counter() - start, 1e-9)
            bars.update(task, advance=samples, rate=f"{rate:,.0f} images/s", note=note)

        yield advance


def lines(label: str, total: int) -> Advance:
    """Progress as lines of text, far enough apart for a log."""
    done, start = 0, time.monotonic()
    said = start

    def advance(samples: int, note: str) -> None:
        nonlocal done, said
        done += samples
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES:
            said, share, rate = now, 100 * done / max(total, 1), done / (now - start)
            text = f"{label}: {note}, {share:.0f} %, {rate:,.0f} images/s"
            print(text, file=sys.stderr, flush=True)

    return advance
