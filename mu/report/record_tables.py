"""The single records of a lira run: how many are exposed, and the worst of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mu.report.attack_plots import cell
from mu.report.console import Texts, print_texts
from mu.report.markdown import escape, items, markdown_table, paragraphs

Row = Mapping[str, Any]
EXPOSED = {
    "exposed_at_1": "forgotten",
    "exposed_at_1_retain": "retained",
    "exposed_at_1_unseen": "never seen",
}
# Columns of the worst records: endings of their rates, by heading.
RATES = {"FPR": "", "original": "_before", "oracle": "_oracle"}
DEFINITIONS = {
    "exposed": "share of the records (percent) that are called members at 1 % of false positives, "
    "each by the references that were not trained on it; of images that no model saw it is 1 % if "
    "the rule holds. In brackets: from the records that are exposed for sure to those that may be",
    "FPR": "at which rate of false positives (percent) the record is called a member; low is "
    "exposed. In brackets its 95 % interval, from the finite number of references. What is far "
    "below 1 % is an extrapolation by the normal distribution",
    "memorisation": "how much likelier references are right about a record if trained on it "
    "(-1 to 1), and its standard error",
}


def print_exposed(rows: Mapping[str, Mapping[str, float]]) -> None:
    """A table of models against shares of exposed records; nothing where there are none."""
    if table := _exposed(rows):
        print_texts("exposed at 1 % of false positives, in percent", *table)


def print_worst(records: Sequence[Row]) -> None:
    """The worst records, with their rates of false positives in percent."""
    if records:
        print_texts(
            "the forgotten records that are most exposed (FPR in percent)", *_worst(records)
        )


def describe(
    rows: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, float],
    records: Sequence[Row],
    notes: Sequence[str],
) -> str:
    """The same in Markdown, with the notes; ``metrics`` hold the mean memorisation."""
    exposed = _exposed(rows)
    means = {"forgotten": "memorisation", "retained": "memorisation_retain"}
    texts = [f"{word} {cell(metrics, n)}" for word, n in means.items() if n in metrics]
    return paragraphs(
        "**Single records.** " + " ".join(f"Note: {one}." for one in notes),
        markdown_table(*exposed) if exposed else "",
        f"Memorisation, mean of the records: {', '.join(texts)}.",
        markdown_table(*_worst(records, escape)) if records else "",
        "All are in the artifact `records.csv`, the most exposed first.",
        items(DEFINITIONS),
    )


def _exposed(rows: Mapping[str, Mapping[str, float]]) -> Texts | None:
    names = [name for name in EXPOSED if any(name in row for row in rows.values())]
    if not names:
        return None
    cells = [[label, *(cell(row, name) for name in names)] for label, row in rows.items()]
    return ["", *(EXPOSED[name] for name in names)], cells, "l" * (1 + len(names))


def _worst(records: Sequence[Row], shown: Callable[[str], str] = str) -> Texts:
    first = records[0]
    places = ["sample", *(["file"] if first["file"] else []), "class"]
    rates = {head: end for head, end in RATES.items() if f"fpr{end}" in first}
    texts = [
        [
            *(shown(str(row[name])) for name in places),
            *(_rate(row, end) for end in rates.values()),
            f"{float(row['memorisation']):.2f} ± {float(row['memorisation_se']):.2f}",
        ]
        for row in records
    ]
    return [*places, *rates, "memorisation"], texts, "l" * (len(places) + len(rates) + 1)


def _rate(row: Row, ending: str) -> str:
    rate, low, high = (_percent(row[f"fpr{end}{ending}"]) for end in ("", "_lo", "_hi"))
    return f"{rate} [{low}, {high}]"


def _percent(text: str) -> str:
    value = float(text)
    return "<0.01" if value < 0.01 else f"{value:.{2 if value < 10 else 0}f}"
