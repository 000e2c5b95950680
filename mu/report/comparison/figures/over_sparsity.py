"""Numbers over the sparsity of the originals, the success of a backdoor among them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mu.report.comparison.cells import Cell
from mu.report.comparison.figures.drawing import (
    INK,
    WIDTH,
    Drawing,
    legend_below,
    row_looks,
    sentences,
    short_labels,
)
from mu.report.comparison.table import Block, Table
from mu.report.comparison.wording import number, write

METRICS = ("UA", "MIA", "RA", "TA", "gap", "RTE")
OF_BACKDOOR = ("ASR", "TA")
ORIGINAL = "original"
_UNITS = {"gap": "points", "RTE": "s"}


def metrics_over_sparsity(table: Table) -> list[Drawing]:
    """Small panels of all numbers, if there are originals of several sparsities."""
    places = _places(table)
    names = [name for name in METRICS if _has(table, name)]
    if len(places) < 2 or not names:
        return []
    caption = "Numbers over the sparsity of the originals; whiskers: deviation over seeds."
    return [_drawing(table, "sparsity", "Over sparsity", caption, names, before=False)]


def backdoor_curve(table: Table) -> list[Drawing]:
    """Success of the attack and accuracy, if a backdoor was planted."""
    if not _has(table, "ASR"):
        return []
    caption = (
        "Attack success (ASR, the lower the better) and test accuracy (TA) over the sparsity of "
        "the originals; dotted: the poisoned originals before unlearning."
    )
    return [_drawing(table, "backdoor", "Backdoor", caption, OF_BACKDOOR, before=True)]


def _has(table: Table, name: str) -> bool:
    return any(name in cells for row in table.methods for cells in row.cells)


def _places(table: Table) -> list[int]:
    """Blocks in the order of their sparsity, the first of each."""
    found: dict[float, int] = {}
    for place, block in enumerate(table.blocks):
        if block.sparsity is not None:
            found.setdefault(round(block.sparsity, 1), place)
    return [place for _, place in sorted(found.items())] or [0]


def _drawing(
    table: Table, name: str, title: str, caption: str, names: Sequence[str], *, before: bool
) -> Drawing:
    places = _places(table)
    blocks = [table.blocks[place] for place in places]
    rows = [
        (row.label, block.label, *(write(row.cells[place].get(one)).plain() for one in names))
        for row in table.rows
        for place, block in zip(places, blocks, strict=True)
        if any(one in row.cells[place] for one in names)
    ]
    if before:
        rows += [
            (ORIGINAL, block.label, *(number(one, block.originals.get(one)) for one in names))
            for block in blocks
        ]
    words = [
        f"{method} on {block}: "
        + ", ".join(f"{one} {text}" for one, text in zip(names, texts, strict=True))
        for method, block, *texts in rows
    ]
    return Drawing(
        name,
        title,
        caption,
        sentences([f"Lines of {', '.join(names)} over sparsity", *words]),
        ("method", "original", *names),
        tuple(rows),
        lambda: _draw(table, places, blocks, names, before=before),
    )


def _draw(
    table: Table,
    places: Sequence[int],
    blocks: Sequence[Block],
    names: Sequence[str],
    *,
    before: bool,
) -> Figure:
    lines = ceil(len(names) / 2)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.75 * lines), layout="constrained")
    panels = figure.subplots(lines, 2, squeeze=False).flat
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, table, places, name)
        if before:
            values = [block.originals.get(name, float("nan")) for block in blocks]
            axes.plot(range(len(places)), values, ":", color=INK, marker=".", lw=1, zorder=1)
        ticks = ["?" if b.sparsity is None else f"{round(b.sparsity, 1):g}" for b in blocks]
        axes.set_xticks(range(len(places)), ticks)
        axes.set_xlim(-0.3, len(places) - 0.7)
        axes.set_title(f"{name}, {_UNITS.get(name, '%')}", loc="left")
    for axes in list(panels)[len(names) :]:
        axes.set_visible(False)
    for axes in figure.axes[-2:]:
        axes.set_xlabel("sparsity, %")
    if before:  # the last in the legend
        figure.axes[0].plot([], [], ":", color=INK, marker=".", lw=1, label=ORIGINAL)
    legend_below(figure, figure.axes[0])
    return figure


def _panel(axes: Axes, table: Table, places: Sequence[int], name: str) -> None:
    looks = row_looks(table)
    short = short_labels(list(looks))
    for row in table.rows:
        found: list[tuple[int, Cell]] = [
            (x, row.cells[place][name])
            for x, place in enumerate(places)
            if name in row.cells[place]
        ]
        if not found and not row.is_oracle:
            continue
        look = looks[row.label]
        axes.errorbar(
            [x for x, _ in found], [cell.mean for _, cell in found],
            [cell.sd or 0.0 for _, cell in found], ls=look.line, color=look.colour,
            marker=look.look.marker, ms=5, lw=1.5, elinewidth=1, capsize=2, label=short[row.label],
            mfc="none" if look.variant else look.colour,
        )  # fmt: skip
    axes.margins(y=0.12)
