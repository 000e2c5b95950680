"""Numbers with their definitions, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping

from mu.evaluation.catalogue import METRICS, SUFFIXES, metric
from mu.report.console import print_lines, print_texts
from mu.report.markdown import markdown_table

_PAGE = """# Metrics

The definition of every metric that runs log. `mu metrics` prints the same in the terminal; this page is the output of `mu metrics --markdown`.

Shares and accuracies are percentages, 0 to 100. The column *better* gives the better direction. If it is the oracle's value, neither higher nor lower is better. How the metrics are measured, and their uncertainty: [evaluation](evaluate.md).

{metrics}
## Endings

A name may have one or several endings, read from the right: `lira_auc_lo_before` is the lower end of the interval of LiRA's AUC on the original.

{endings}"""  # noqa: E501 - a paragraph of Markdown is one line


def print_metrics(title: str, found: Mapping[str, float], oracle: Mapping[str, float]) -> None:
    """What was measured: value, interval, the oracle's value, and which direction is better."""
    names = main_names(found)
    rows = [
        (one.name, *number_cells(one.name, found, oracle), one.unit, one.better)
        for one in map(metric, names)
    ]
    columns = ("", "value", "95 % interval", "oracle", "unit", "better")
    print_texts(title, columns, rows, "lrrrll")


def main_names(found: Mapping[str, float]) -> list[str]:
    """Names of the numbers themselves, without ends of intervals and the oracle's."""
    return [name for name in found if not name.endswith(("_lo", "_hi", "_oracle"))]


def digits_of(name: str) -> int:
    """Digits after the point that a table shows of a metric."""
    return {"0-1": 3, "steps": 0, "images": 0}.get(metric(name).unit, 2)


def number_cells(
    name: str, found: Mapping[str, float], oracle: Mapping[str, float]
) -> tuple[str, str, str]:
    """A number, its interval and the oracle's, as text; empty where there is none."""
    digits = digits_of(name)
    ends = [found.get(f"{name}{end}") for end in ("_lo", "_hi")]
    interval = " to ".join(f"{end:.{digits}f}" for end in ends if end is not None)
    theirs = oracle.get(name, found.get(f"{name}_oracle"))
    text = "" if theirs is None else f"{theirs:.{digits}f}"
    return f"{found[name]:.{digits}f}", interval, text


def print_catalogue() -> None:
    """Every metric with its definition, direction and source."""
    rows = [
        (one.name, one.unit, one.better, one.definition, one.source) for one in METRICS.values()
    ]
    print_texts("", ("metric", "unit", "better", "definition", "source"), rows, "lllll")
    print_lines({f"…{name}": words.removesuffix(": ") for name, words in SUFFIXES.items()})


def catalogue_page() -> str:
    """The same as a page of Markdown, which ends with a line break."""
    metrics = [(f"`{m.name}`", m.definition, m.unit, m.better, m.source) for m in METRICS.values()]
    endings = [(f"`{name}`", words.removesuffix(": ")) for name, words in SUFFIXES.items()]
    columns = ("metric", "definition", "unit", "better", "source")
    return _PAGE.format(
        metrics=markdown_table(columns, metrics, "lllll"),
        endings=markdown_table(("ending", "meaning"), endings, "ll"),
    )
