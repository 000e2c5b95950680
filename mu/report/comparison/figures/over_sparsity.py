"""Numbers over the sparsity of the originals, the success of a backdoor among them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mu.evaluation.controls import NOTHING
from mu.report.comparison.cells import ABSENT, number, write
from mu.report.comparison.figures.drawing import (
    INK,
    WIDTH,
    Drawing,
    legend_below,
    row_styles,
    short_labels,
)
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.table import Table

METRICS = ("UA", "MIA", "RA", "TA", "gap", "RTE")
OF_BACKDOOR = ("ASR", "TA")
ORIGINAL = "original"
_UNITS = {"gap": "points", "RTE": "s"}


def metrics_over_sparsity(table: Table) -> list[Drawing]:
    """Small panels of all numbers, if there are originals of several sparsities."""
    names = [name for name in METRICS if len(table.found(name))]
    if len(_originals(table)) < 2 or not names:
        return []
    caption = "Numbers over the sparsity of the originals; whiskers: standard deviation over seeds."
    return [_drawing(table, "sparsity", "Over sparsity", caption, names, before=False)]


def backdoor_curve(table: Table) -> list[Drawing]:
    """Success of the attack and accuracy, if a backdoor was planted."""
    if table.found("ASR").empty:
        return []
    caption = (
        "Attack success (ASR, the lower the better) and test accuracy (TA) over the sparsity of "
        "the originals; dotted: the poisoned originals before unlearning."
    )
    return [_drawing(table, "backdoor", "Backdoor", caption, OF_BACKDOOR, before=True)]


def _originals(table: Table) -> pd.DataFrame:
    """Blocks in the order of their sparsity, the first of each."""
    known = table.originals.dropna(subset="sparsity")
    known = known[~known["sparsity"].round(1).duplicated()]
    return known.sort_values("sparsity") if len(known) else table.originals[:1]


def _drawing(
    table: Table, name: str, title: str, caption: str, names: Sequence[str], *, before: bool
) -> Drawing:
    originals = _originals(table)
    if left := [str(one) for one in table.originals.index if one not in originals.index]:
        caption += f" Left out, for others of the same sparsity: {', '.join(left)}."
    cells = table.cells[table.cells["original"].isin(originals.index)]
    cells = cells[cells["metric"].isin(names)]
    if before:  # the original is drawn by itself
        cells = cells[cells["method"] != NOTHING]
    rows = []
    for (row, original), own in cells.groupby(["row", "original"], sort=False):
        texts = {cell.metric: write(cell) for cell in own.itertuples()}
        if set(texts.values()) != {ABSENT}:
            rows.append((row, original, *(texts[one] for one in names)))
    if before:
        rows += [
            (ORIGINAL, label, *(number(one, own[one]) for one in names))
            for label, own in originals.iterrows()
        ]
    return Drawing(
        name,
        title,
        caption,
        f"Lines of {', '.join(names)} over sparsity",
        ("method", "original", *names),
        rows,
        (WIDTH, 0.6 + 1.75 * ceil(len(names) / 2)),
        lambda figure: _draw(figure, table, cells, originals, names, before=before),
    )


def _draw(
    figure: Figure,
    table: Table,
    cells: pd.DataFrame,
    originals: pd.DataFrame,
    names: Sequence[str],
    *,
    before: bool,
) -> None:
    places = range(len(originals))
    panels = figure.subplots(ceil(len(names) / 2), 2, squeeze=False).flat
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, table, cells[cells["metric"] == name].set_index("original"), originals)
        if before:
            axes.plot(places, originals[name], ":", color=INK, marker=".", lw=1, zorder=1)
        ticks = ["?" if pd.isna(one) else f"{round(one, 1):g}" for one in originals["sparsity"]]
        axes.set_xticks(places, ticks)
        axes.set_xlim(-0.3, len(places) - 0.7)
        axes.set_title(f"{name}, {_UNITS.get(name, '%')}", loc="left")
    for axes in list(panels)[len(names) :]:
        axes.set_visible(False)
    for axes in figure.axes[-2:]:
        axes.set_xlabel("sparsity, %")
    if before:  # the last in the legend
        figure.axes[0].plot([], [], ":", color=INK, marker=".", lw=1, label=ORIGINAL)
    legend_below(figure, figure.axes[0].get_legend_handles_labels()[0])


def _panel(axes: Axes, table: Table, cells: pd.DataFrame, originals: pd.DataFrame) -> None:
    """A metric: the line of each method."""
    styles = row_styles(table)
    short = short_labels(list(styles))
    for row, method in table.rows.items():
        own = cells[cells["row"] == row].reindex(originals.index).reset_index()
        own = own[own["mean"].notna()]
        if own.empty and method != ORACLE_METHOD:
            continue
        style = styles[row]
        axes.errorbar(
            own.index, own["mean"], own["sd"].fillna(0.0), ls=style.line, color=style.colour,
            marker=style.marker, ms=5, lw=1.5, elinewidth=1, capsize=2, label=short[row],
            mfc=style.face,
        )  # fmt: skip
    axes.margins(y=0.12)
