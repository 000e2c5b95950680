"""Numbers with their definitions, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from mu.evaluation.catalogue import METRICS, SUFFIXES, metric
from mu.report.console import make_console
from mu.report.prose import main_names, number_cells


def print_metrics(title: str, found: Mapping[str, float], oracle: Mapping[str, float]) -> None:
    """What was measured: value, interval, the oracle's value, and which direction is better."""
    table = Table()
    table.add_column("", no_wrap=True)
    for name in ("value", "95 % interval", "oracle"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    table.add_column("better")
    for name in main_names(found):
        one = metric(name)
        table.add_row(name, *number_cells(name, found, oracle), one.unit, one.better)
    console = make_console()
    console.print(title, style="bold", soft_wrap=True, markup=False, highlight=False)
    console.print(table)


def print_catalogue() -> None:
    """Every metric with its definition, direction and source."""
    table = Table()
    for column in ("metric", "unit", "better", "definition", "source"):
        table.add_column(column)
    for one in METRICS.values():
        table.add_row(one.name, one.unit, one.better, one.definition, one.source)
    console = make_console()
    console.print(table)
    for suffix, words in SUFFIXES.items():
        console.print(f"  …{suffix:8} {words.removesuffix(': ')}", markup=False, highlight=False)
