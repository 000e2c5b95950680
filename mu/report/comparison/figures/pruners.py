"""What pruning buys: accuracy, gap, speed and megabytes, a line for each pruner."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from mu.report.comparison.cells import write
from mu.report.comparison.figures.drawing import WIDTH, Drawing, legend_below
from mu.report.comparison.figures.trade_off import SPEED
from mu.report.comparison.table import Table

_PANELS = {
    "TA": "TA, %",
    "gap": "gap, points",
    SPEED: "exported, times as fast as masked",
    "file_mb_compact": "exported file, MB",
}
_LOOKS = ("o-", "s--", "^:", "D-.", "v-", "P--", "X:")


def pruners(table: Table) -> list[Drawing]:
    """A figure of each method whose networks by several pruners were exported."""
    timed = table.found(SPEED)
    several = timed[timed["pruner"] != ""].groupby("row", sort=False)["pruner"].nunique() > 1
    return [
        _drawing(table, row, place) for place, row in enumerate(several.index[several], start=1)
    ]


def _drawing(table: Table, row: str, place: int) -> Drawing:
    cells = table.cells[table.cells["row"] == row]
    rows = []
    for original, own in cells.groupby("original", sort=False):
        texts = {one.metric: write(one) for one in own.itertuples()}
        rows.append((str(original), *(texts.get(name, "") for name in _PANELS)))
    return Drawing(
        f"pruners_{place}",
        f"What pruning buys: {row}",
        f"Numbers after {row}, and of its exported network, over the weights that pruning keeps "
        "(logarithmic); lines begin at the dense network. Speed is that of the exported network as "
        "a multiple of the masked one's, timed in turn; the data has its milliseconds.",
        f"Lines of {', '.join(_PANELS)} over the weights kept",
        ("original", *_PANELS),
        rows,
        (WIDTH, 4.3),
        partial(_draw, cells=cells),
    )


def _draw(figure: Figure, cells: pd.DataFrame) -> None:
    names = [one for one in cells["pruner"].unique() if one]
    for axes, (metric, title) in zip(figure.subplots(2, 2).flat, _PANELS.items(), strict=True):
        known = cells[(cells["metric"] == metric) & cells["mean"].notna()].sort_values("sparsity")
        known = known.set_index("original")
        if metric == SPEED:  # timed in turn, while machines drift from one export to the next
            masked = cells[cells["metric"] == "latency_ms"].set_index("original")
            known["mean"] = masked["mean"] / known["mean"]
        for name, look in zip(names, _LOOKS * len(names), strict=False):
            own = known[known["pruner"].isin([name, ""])]
            axes.plot(100 - own["sparsity"], own["mean"], look, ms=4, lw=1.3, label=name)
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title(title, loc="left")
        axes.margins(y=0.12)
    for axes in figure.axes[-2:]:
        axes.set_xlabel("weights kept, %")
    legend_below(figure, figure.axes[0].get_legend_handles_labels()[0])
