"""Tables of statistics over seeds."""

from __future__ import annotations

from collections.abc import Mapping

from mu.evaluation.statistics import Comparison, Summary
from mu.report.console import print_texts

ABSENT = "-"


def print_group(title: str, summaries: Mapping[str, Summary], *, bootstrap: bool = False) -> None:
    """A table of metrics: mean, standard deviation and interval over seeds."""
    rows = []
    for name, one in summaries.items():
        digits = _digits(one.mean)
        spread = ABSENT if one.sd is None else f"{one.sd:.{digits}f}"
        interval = _interval(one.low, one.high, digits)
        rows.append((name, f"{one.mean:.{digits}f} ± {spread}", interval))
    how = "95 % bootstrap" if bootstrap else "95 % interval"
    print_texts(title, ("", "mean ± sd", how), rows, "lrr")


def print_differences(title: str, comparisons: Mapping[str, Comparison]) -> None:
    """A table of metrics: mean difference, its interval, p-values and what they say at 5 %."""
    rows = []
    for name, one in comparisons.items():
        digits = _digits(one.difference)
        interval = _interval(one.low, one.high, digits)
        verdict = "differs" if one.differs else "no difference shown"
        number = f"{one.difference:+.{digits}f}"
        rows.append((name, number, interval, _p(one.p), _p(one.p_ranks), verdict))
    print_texts(title, ("", "difference", "95 % t interval", "p", "p of ranks", ""), rows, "lrrrrl")


def _interval(low: float | None, high: float | None, digits: int) -> str:
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
