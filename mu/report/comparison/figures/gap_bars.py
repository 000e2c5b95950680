"""Bars of the gap, with what is known of its uncertainty."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mu.report.comparison.cells import Cell
from mu.report.comparison.figures.drawing import (
    INK,
    WIDTH,
    Drawing,
    row_looks,
    sentences,
    short_labels,
)
from mu.report.comparison.table import Table
from mu.report.comparison.wording import number, write

_HATCHES = ("", "///", "\\\\\\", "xxx", "---", "|||")  # dots make an SVG of a megabyte


def gap_bars(table: Table) -> list[Drawing]:
    """The bars, if a run has a gap."""
    cells = {
        (row.label, place): cell
        for row in table.methods
        for place in range(len(table.blocks))
        if (cell := row.cells[place].get("gap")) is not None
    }
    if not cells:
        return []
    labels = [block.label for block in table.blocks]
    return [
        Drawing(
            "gap",
            "Gap to the oracle",
            "Mean distance to the oracle over UA, RA, TA and MIA, in points: the smaller, the "
            "better. Whiskers: deviation over seeds; of a single run its 95 % interval over "
            "samples.",
            sentences(
                [
                    "Bars of the gap to the oracle, in points",
                    *(
                        f"{name} on {labels[place]}: {write(cell).plain()}"
                        for (name, place), cell in cells.items()
                    ),
                ]
            ),
            ("method", "original", "gap", "from", "to", "runs"),
            tuple(
                (
                    name,
                    labels[place],
                    number("gap", cell.mean),
                    *(number("gap", end) for end in ends_of(cell)),
                    str(len(cell.values)),
                )
                for (name, place), cell in cells.items()
            ),
            lambda: _draw(table, cells),
        )
    ]


def ends_of(cell: Cell) -> tuple[float | None, float | None]:
    """The ends of a whisker: a deviation to either side, or the interval of a single run."""
    if cell.sd is not None:
        return max(0.0, cell.mean - cell.sd), cell.mean + cell.sd
    return cell.low, cell.high


def _draw(table: Table, cells: dict[tuple[str, int], Cell]) -> Figure:
    looks = row_looks(table)
    names = list(dict.fromkeys(name for name, _ in cells))
    blocks = len(table.blocks)
    kinds = list(short_labels([block.label for block in table.blocks]).values())
    figure = Figure(figsize=(WIDTH, 1.1 + 0.3 * len(names) * (blocks + 0.6)), layout="constrained")
    axes = figure.subplots()
    height = 0.84 / blocks
    widest = max(max(ends_of(cell)[1] or 0, cell.mean) for cell in cells.values())
    for (name, place), cell in cells.items():
        y = names.index(name) + (place - (blocks - 1) / 2) * height
        look = looks[name]
        axes.barh(
            y, cell.mean, height * 0.9, color=look.colour,
            alpha=1 - 0.65 * place / max(1, blocks - 1),
            hatch=_HATCHES[place % len(_HATCHES)], ec=INK, lw=0.5,
        )  # fmt: skip
        low, high = ends_of(cell)
        if low is not None and high is not None:
            axes.plot([low, high], [y, y], color=INK, lw=1.3, marker="|", ms=6)
        end = max(high or 0, cell.mean)
        axes.text(end + 0.02 * widest, y, number("gap", cell.mean), va="center", fontsize=8)
    axes.set_yticks(range(len(names)), list(short_labels(names).values()))
    axes.invert_yaxis()
    axes.set(xlim=(0, widest * 1.14 or 1), xlabel="gap, points")
    axes.grid(axis="y", visible=False)
    if blocks > 1:
        handles = [
            Patch(fc="none", ec=INK, lw=0.6, label=kind,
                  hatch=_HATCHES[place % len(_HATCHES)])
            for place, kind in enumerate(kinds)
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
