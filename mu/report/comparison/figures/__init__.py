"""Figures of a table: each a small file; all that there is material for are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mu.report.comparison.figures.drawing import Drawing
from mu.report.comparison.figures.gap_bars import gap_bars
from mu.report.comparison.figures.over_sparsity import backdoor_curve, metrics_over_sparsity
from mu.report.comparison.figures.pruners import pruners
from mu.report.comparison.figures.radar import radars
from mu.report.comparison.figures.trade_off import speed, trade_off
from mu.report.comparison.table import Table

__all__ = ["Drawing", "draw_all"]


def draw_all(tables: Sequence[Table]) -> list[list[Drawing]]:
    """The figures of each table, with names that no two of them share."""
    found = []
    for number, table in enumerate(tables, 1):
        own = [
            *gap_bars(table),
            *trade_off(table),
            *speed(table),
            *pruners(table),
            *metrics_over_sparsity(table),
            *backdoor_curve(table),
            *radars(table),
        ]
        prefix = f"{number}_" if len(tables) > 1 else ""
        found.append([replace(one, name=prefix + one.name) for one in own])
    return found
