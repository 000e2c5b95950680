"""Two numbers that a method trades for each other, and those that no other beats in both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from mu.report.comparison.figures.drawing import (
    INK,
    WIDTH,
    Drawing,
    fill_of,
    legend_below,
    row_styles,
    short_labels,
)
from mu.report.comparison.table import Table

FORGETTING, UTILITY = ("UA", "MIA"), ("RA", "TA")


SPEED = "latency_ms_compact"


class Point(NamedTuple):
    """A method on one kind of original; of both numbers the lower is better."""

    label: str
    block: int
    across: float
    up: float


def points_of(table: Table) -> list[Point]:
    """Distances in points of what is forgotten and kept, where a method has all four."""
    return _points(
        table,
        lambda cells: [
            cells["distance"][list(names)].mean(skipna=False) for names in (FORGETTING, UTILITY)
        ],
    )


def _points(table: Table, ends: Callable[[pd.DataFrame], Sequence[float]]) -> list[Point]:
    labels = list(table.originals.index)
    found = []
    for (row, original), cells in table.cells.groupby(["row", "original"], sort=False):
        place = ends(cells.set_index("metric"))
        if not np.isnan(place).any():
            found.append(Point(row, labels.index(original), *place))
    return found


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Points than which none is better in one number without being worse in the other."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.across, one.up, one.label)):
        if not front or point.up < front[-1].up:
            front.append(point)
    return front


def trade_off(table: Table) -> list[Drawing]:
    """Forgetting against utility, if a method has all four distances."""
    return _scatter(
        table,
        points_of(table),
        "trade_off",
        ("forgetting", "utility"),
        "Distance to the oracle in what is to be forgotten (mean of UA and MIA) and in what is to "
        "be kept (mean of RA and TA), in points; both scales are linear up to 1 and logarithmic "
        "beyond.",
        ("forgetting: distance of UA and MIA", "utility: distance of RA and TA"),
    )


def speed(table: Table) -> list[Drawing]:
    """The gap against the latency, of methods whose networks were exported."""
    return _scatter(
        table,
        _points(table, lambda cells: [cells["mean"][SPEED], cells["mean"]["gap"]]),
        "latency",
        ("latency", "gap"),
        "Gap to the oracle, in points, against the milliseconds that the exported network takes "
        "for its batch; the scale of the gap is linear up to 1 and logarithmic beyond.",
        ("latency of the exported network, ms", "gap to the oracle, points"),
        least=0.0,  # small networks take less than a millisecond
    )


def _scatter(
    table: Table,
    points: Sequence[Point],
    name: str,
    numbers: tuple[str, str],
    text: str,
    words: tuple[str, str],
    least: float = 2.0,
) -> list[Drawing]:
    """The scatter, if there are points; ``least``: how far the axis across reaches at least."""
    if not points:
        return []
    front = pareto_front(points)
    labels = list(table.originals.index)
    rows = [
        (
            *(one.label, labels[one.block], f"{one.across:.2f}", f"{one.up:.2f}"),
            "yes" if one in front else "no",
        )
        for one in points
    ]
    return [
        Drawing(
            name,
            " against ".join(numbers).capitalize(),
            f"{text} Lower left is best; the line is the Pareto front.",
            f"Scatter of {numbers[0]} and {numbers[1]}",
            ("method", "original", *numbers, "on the front"),
            rows,
            (WIDTH, WIDTH * 0.86),
            lambda figure: _draw(figure, table, points, front, words, least),
        )
    ]


def _draw(
    figure: Figure,
    table: Table,
    points: Sequence[Point],
    front: Sequence[Point],
    words: tuple[str, str],
    least: float,
) -> None:
    styles = row_styles(table)
    axes = figure.subplots()
    axes.step(
        [one.across for one in front], [one.up for one in front], where="post",
        color=INK, lw=1, ls="--", alpha=0.6, zorder=1,
    )  # fmt: skip
    for one in points:
        style = styles[one.label]
        axes.plot(
            one.across, one.up, style.marker, color=style.colour, ms=9, mew=1.6,
            fillstyle=fill_of(one.block), markerfacecoloralt="none", zorder=3, clip_on=False,
            alpha=1 / (1 + 0.4 * style.variant),
        )  # fmt: skip
    axes.set(xlabel=words[0], ylabel=words[1])
    for axis, scale, limit, top, end in (
        (axes.xaxis, axes.set_xscale, axes.set_xlim, max(one.across for one in points), least),
        (axes.yaxis, axes.set_yscale, axes.set_ylim, max(one.up for one in points), 2.0),
    ):
        scale("symlog", linthresh=1)
        wide = max(top * 1.6, end)
        limit(-0.06 * min(2.0, wide), wide)
        axis.set_major_locator(FixedLocator([0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(FixedLocator([]))
    short = short_labels(list(styles))
    shown = {one.label for one in points}
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, ls="", ms=7, label=short[label],
               alpha=1 / (1 + 0.4 * style.variant))
        for label, style in styles.items() if label in shown
    ]  # fmt: skip
    if len(table.originals) > 1:
        kinds = short_labels(list(table.originals.index)).values()
        handles += [
            Line2D([], [], color=INK, marker="o", ls="", ms=7, label=kind,
                   fillstyle=fill_of(place), markerfacecoloralt="none")
            for place, kind in enumerate(kinds)
        ]  # fmt: skip
    legend_below(figure, handles)
