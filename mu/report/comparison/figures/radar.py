"""The radar: how close each method is to the oracle in every number at once."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from mu.evaluation.gap import GAP_METRICS
from mu.report.comparison.figures.drawing import (
    WIDTH,
    Drawing,
    legend_below,
    row_styles,
    short_labels,
)
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.table import Table

SPOKES = ("UA", "RA", "TA", "MIA", "RTE")
LABELS = ("UA", "RA", "TA", "MIA", "time\nsaved")


def radars(table: Table) -> list[Drawing]:
    """One for each block in which a method has all of the numbers."""
    labels = enumerate(table.originals.index, 1)
    found = [(number, label, closeness(table, label)) for number, label in labels]
    return [_radar(table, series, number, label) for number, label, series in found if series]


def closeness(table: Table, original: str) -> dict[str, list[float]]:
    """For each method with all of :data:`SPOKES` how close it is to the oracle in them, 0-100.

    100 less the distance to the oracle, in points; of RTE the share of the oracle's time that is
    saved, 0 where there is none.
    """
    cells = table.cells[table.cells["original"] == original]
    rows = cells.pivot(index="row", columns="metric", values=["mean", "distance"])
    oracle = cells[(cells["method"] == ORACLE_METHOD) & (cells["metric"] == "RTE")]["mean"].dropna()
    seconds = oracle.iloc[0] if len(oracle) and oracle.iloc[0] > 0 else float("nan")
    near = 100 - rows["distance"][list(SPOKES[:-1])]
    near["RTE"] = 100 * (1 - rows["mean"]["RTE"] / seconds)
    near = near.loc[list(table.rows)].dropna().clip(0, 100)
    return dict(zip(near.index, near.to_numpy().tolist(), strict=True))


def _radar(table: Table, series: dict[str, list[float]], number: int, label: str) -> Drawing:
    styles = row_styles(table)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(projection="polar")
        assert isinstance(axes, PolarAxes)
        axes.set_theta_offset(np.pi / 2)
        axes.set_theta_direction(-1)
        angles = np.linspace(0, 2 * np.pi, len(SPOKES), endpoint=False)
        short = short_labels(list(series))
        for name, values in series.items():
            style, closed = styles[name], [*values, values[0]]
            axes.plot(
                [*angles, angles[0]], closed, style.line, color=style.colour, label=short[name],
                lw=1.8, marker=style.marker, ms=5, mfc=style.face,
            )  # fmt: skip
            axes.fill([*angles, angles[0]], closed, color=style.colour, alpha=0.07)
        axes.set_xticks(angles, LABELS)
        axes.tick_params(axis="x", pad=8)
        axes.set_ylim(0, 104)
        axes.set_yticks([25, 50, 75, 100], ["25", "50", "75", "100"], fontsize=7)
        axes.spines["polar"].set_visible(False)
        legend_below(figure, axes.lines)

    rows = [(name, *(f"{one:.2f}" for one in values)) for name, values in series.items()]
    return Drawing(
        f"radar_{number}",
        f"Closeness to the oracle, {label}",
        f"{', '.join(GAP_METRICS)}: 100 less the distance to the oracle in points. Time saved: "
        "share of Retrain's seconds that the method does not need. The outer ring is best.",
        f"Radar of closeness to the oracle on {label} originals, 0 to 100",
        ("method", "UA", "RA", "TA", "MIA", "time saved, %"),
        rows,
        (WIDTH, WIDTH * 0.9),
        draw,
    )
