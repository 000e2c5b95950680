"""Tables of statistics over seeds."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from mu.evaluation.statistics import Comparison, Summary
from mu.report.console import make_console

ABSENT = "-"


def print_group(title: str, summaries: Mapping[str, Summary], *, bootstrap: bool = False) -> None:
    """A table of metrics: mean, standard deviation and interval over seeds."""
    how = "95 % bootstrap" if bootstrap else "95 % interval"
    rows = {}
    for name, one in summaries.items():
        digits = _digits(one.mean)
        spread = ABSENT if one.sd is None else f"{one.sd:.{digits}f}"
        rows[name] = (f"{one.mean:.{digits}f} ± {spread}", interval(one.low, one.high, digits))
    _print(title, ("mean ± sd", how), rows)


def print_differences(title: str, comparisons: Mapping[str, Comparison]) -> None:
    """A table of metrics: mean difference, its interval, p-values and what they say in words."""
    rows = {}
    for name, one in comparisons.items():
        digits = _digits(one.difference)
        rows[name] = (
            f"{one.difference:+.{digits}f}",
            interval(one.low, one.high, digits),
            _p(one.p),
            _p(one.p_ranks),
            verdict(one),
        )
    _print(title, ("difference", "95 % t interval", "p", "p of ranks", ""), rows)


def verdict(comparison: Comparison) -> str:
    """What a comparison says at 5 %."""
    return "differs" if comparison.differs else "no difference shown"


def interval(low: float | None, high: float | None, digits: int) -> str:
    """The ends of an interval, where there is one."""
    if low is None or high is None:
        return ABSENT
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _digits(value: float) -> int:
    """Digits after the point; values below 1 such as a divergence need more of them."""
    return 2 if abs(value) >= 1 or value == 0 else 4


def _p(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _print(title: str, columns: tuple[str, ...], rows: Mapping[str, tuple[str, ...]]) -> None:
    """A table with a row for each metric; nothing in it is read as markup."""
    table = Table()
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for label, cells in rows.items():
        table.add_row(*map(Text, (label, *cells)))
    console = make_console()
    console.print(title, style="bold", soft_wrap=True, markup=False, highlight=False)
    console.print(table)
