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
    row_looks,
    sentences,
    short_labels,
)
from mu.report.comparison.table import Row, Table

SPOKES = ("UA", "RA", "TA", "MIA", "RTE")
LABELS = ("UA", "RA", "TA", "MIA", "time\nsaved")


def radars(table: Table) -> list[Drawing]:
    """One for each block in which a method has all of the numbers."""
    found = []
    for place, block in enumerate(table.blocks):
        series = {
            row.label: values
            for row in table.methods
            if (values := closeness(row, oracle_rte(table, place), place)) is not None
        }
        if series:
            found.append(_radar(table, series, place, block.label))
    return found


def oracle_rte(table: Table, block: int) -> float | None:
    """Seconds of the oracle's training, where they are known."""
    for row in table.rows:
        if row.is_oracle and "RTE" in row.cells[block]:
            return row.cells[block]["RTE"].mean
    return None


def closeness(row: Row, oracle_seconds: float | None, block: int) -> list[float] | None:
    """0-100 for each of :data:`SPOKES`; None where one is not known.

    100 less the distance to the oracle, in points; of RTE the share of the oracle's time that is
    saved, 0 where there is none.
    """
    cells = row.cells[block]
    distances = [cells[name].distance if name in cells else None for name in SPOKES[:-1]]
    if oracle_seconds is None or oracle_seconds <= 0 or "RTE" not in cells:
        return None
    if any(one is None for one in distances):
        return None
    saved = 100 * (1 - cells["RTE"].mean / oracle_seconds)
    near = [100 - one for one in distances if one is not None]
    return [float(np.clip(one, 0, 100)) for one in (*near, saved)]


def _radar(table: Table, series: dict[str, list[float]], place: int, label: str) -> Drawing:
    looks = row_looks(table)

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTH, WIDTH * 0.9), layout="constrained")
        axes = figure.add_subplot(projection="polar")
        assert isinstance(axes, PolarAxes)
        axes.set_theta_offset(np.pi / 2)
        axes.set_theta_direction(-1)
        angles = np.linspace(0, 2 * np.pi, len(SPOKES), endpoint=False)
        short = short_labels(list(series))
        for name, values in series.items():
            look = looks[name]
            closed = [*values, values[0]]
            axes.plot(
                [*angles, angles[0]], closed, look.line, color=look.colour, label=short[name],
                lw=1.8, marker=look.look.marker, ms=5, mfc="none" if look.variant else look.colour,
            )  # fmt: skip
            axes.fill([*angles, angles[0]], closed, color=look.colour, alpha=0.07)
        axes.set_xticks(angles, LABELS)
        axes.tick_params(axis="x", pad=8)
        axes.set_ylim(0, 104)
        axes.set_yticks([25, 50, 75, 100], ["25", "50", "75", "100"], fontsize=7)
        axes.spines["polar"].set_visible(False)
        legend_below(figure, axes)
        return figure

    rows = tuple((name, *(f"{one:.2f}" for one in values)) for name, values in series.items())
    words = [
        f"{name}: " + ", ".join(f"{spoke} {v:.1f}" for spoke, v in zip(SPOKES, values, strict=True))
        for name, values in series.items()
    ]
    return Drawing(
        f"radar_{place + 1}",
        f"Closeness to the oracle, {label}",
        f"{', '.join(GAP_METRICS)}: 100 less the distance to the oracle in points. Time saved: "
        "share of Retrain's seconds that the method does not need. The outer ring is best.",
        sentences([f"Radar of closeness to the oracle on {label} originals, 0 to 100", *words]),
        ("method", "UA", "RA", "TA", "MIA", "time saved, %"),
        rows,
        draw,
    )
