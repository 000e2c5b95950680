"""Forgetting against utility: how far a method is from the oracle in either of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
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


class Point(NamedTuple):
    """A method on one kind of original; both distances are in points."""

    label: str
    block: int
    forgetting: float
    utility: float


def points_of(table: Table) -> list[Point]:
    """A point for each method and block with all four distances."""
    labels = list(table.originals.index)
    found = []
    for (row, original), cells in table.cells.groupby(["row", "original"], sort=False):
        distances = cells.set_index("metric")["distance"]
        ends = [distances[list(names)].mean(skipna=False) for names in (FORGETTING, UTILITY)]
        if not np.isnan(ends).any():
            found.append(Point(row, labels.index(original), *ends))
    return found


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Points than which none is better in one distance without being worse in the other."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.forgetting, one.utility, one.label)):
        if not front or point.utility < front[-1].utility:
            front.append(point)
    return front


def trade_off(table: Table) -> list[Drawing]:
    """The scatter, if a method has all four distances."""
    points = points_of(table)
    if not points:
        return []
    front = pareto_front(points)
    labels = list(table.originals.index)
    rows = [
        (
            one.label,
            labels[one.block],
            f"{one.forgetting:.2f}",
            f"{one.utility:.2f}",
            "yes" if one in front else "no",
        )
        for one in points
    ]
    return [
        Drawing(
            "trade_off",
            "Forgetting against utility",
            "Distance to the oracle in what is to be forgotten (mean of UA and MIA) and in what "
            "is to be kept (mean of RA and TA), in points; both scales are linear up to 1 and "
            "logarithmic beyond. Lower left is best; the line is the Pareto front.",
            "Scatter of the distance to the oracle in forgetting and in utility, in points",
            ("method", "original", "forgetting", "utility", "on the front"),
            rows,
            (WIDTH, WIDTH * 0.86),
            lambda figure: _draw(figure, table, points, front),
        )
    ]


def _draw(figure: Figure, table: Table, points: Sequence[Point], front: Sequence[Point]) -> None:
    styles = row_styles(table)
    axes = figure.subplots()
    axes.step(
        [one.forgetting for one in front], [one.utility for one in front], where="post",
        color=INK, lw=1, ls="--", alpha=0.6, zorder=1,
    )  # fmt: skip
    for one in points:
        style = styles[one.label]
        axes.plot(
            one.forgetting, one.utility, style.marker, color=style.colour, ms=9, mew=1.6,
            fillstyle=fill_of(one.block), markerfacecoloralt="none", zorder=3, clip_on=False,
            alpha=1 / (1 + 0.4 * style.variant),
        )  # fmt: skip
    axes.set(xlabel="forgetting: distance of UA and MIA", ylabel="utility: distance of RA and TA")
    for axis, scale, limit, top in (
        (axes.xaxis, axes.set_xscale, axes.set_xlim, max(one.forgetting for one in points)),
        (axes.yaxis, axes.set_yscale, axes.set_ylim, max(one.utility for one in points)),
    ):
        scale("symlog", linthresh=1)
        limit(-0.12, max(2.0, top * 1.6))
        axis.set_major_locator(FixedLocator([0, 0.5, 1, 2, 5, 10, 20, 50, 100]))
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
