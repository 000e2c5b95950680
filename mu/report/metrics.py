"""Numbers with their definitions, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from mu.evaluation.catalogue import METRICS, SUFFIXES, metric
from mu.report.console import make_console
from mu.report.prose import main_names, number_cells

_PAGE = """# Metrics

The definition of every metric that runs log. `mu metrics` prints the same in the terminal; this page is the output of `mu metrics --markdown`.

Shares and accuracies are percentages, 0 to 100. The column *better* gives the better direction. If it is the oracle's value, neither higher nor lower is better. How the metrics are measured, and their uncertainty: [evaluation](evaluate.md).

{metrics}

## Endings

A name may have one or several endings, read from the right: `lira_auc_lo_before` is the lower end of the interval of LiRA's AUC on the original.

{endings}
"""  # noqa: E501 - a paragraph of Markdown is one line


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


def catalogue_page() -> str:
    """The same as a page of Markdown, which ends with a line break."""
    metrics = (
        (f"`{one.name}`", one.definition, one.unit, one.better, one.source)
        for one in METRICS.values()
    )
    endings = ((f"`{name}`", words.removesuffix(": ")) for name, words in SUFFIXES.items())
    return _PAGE.format(
        metrics=_markdown(("metric", "definition", "unit", "better", "source"), metrics),
        endings=_markdown(("ending", "meaning"), endings),
    )


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("  ", " ") for line in lines)
