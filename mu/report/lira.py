"""What a run of ``lira`` shows: the ROC of each attack, its tables and its description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mu.evaluation.attacks.rates import Curve, Scores
from mu.evaluation.references import Pair
from mu.report.console import Texts, print_texts
from mu.report.markdown import escape, items, markdown_table, paragraphs
from mu.report.plots import COLOURS, drawn

Rows = Mapping[str, Mapping[str, float]]  # numbers by model: ``lira_auc``, ``lira_auc_lo``, ...
Row = Mapping[str, Any]
TITLES = {"lira": "LiRA", "ulira": "U-LiRA", "rmia": "RMIA"}
LINES = {"original": "#999999", "unlearned": COLOURS["retain"], "oracle": COLOURS["test"]}
# Columns of the table and of the description, by the number that they show.
COLUMNS = {
    "lira_auc": "LiRA AUC",
    "lira_tpr_at_1": "LiRA TPR@1 %",
    "ulira_auc": "U-LiRA AUC",
    "rmia_auc": "RMIA AUC",
}
EXPOSED = {
    "exposed_at_1": "forgotten",
    "exposed_at_1_retain": "retained",
    "exposed_at_1_unseen": "never seen",
}
# Columns of the worst records: endings of their rates, by heading.
RATES = {"FPR": "", "original": "_before", "oracle": "_oracle"}
DEFINITIONS = {
    "AUC": "chance that a forgotten sample looks more trained on than a test image that the "
    "networks never saw: 0.5 is a guess, 1 certainty; in brackets its 95 % interval "
    "(bootstrap over samples)",
    "LiRA TPR@1 %": "share of the forgotten samples that LiRA finds at 1 % false alarms, in "
    "percent; only with 100 test images or more",
    "LiRA": "likelihood ratio of the network's answers, fitted to references as they were trained",
    "U-LiRA": "the same, fitted to references that have unlearned with the same method: the attack "
    "of someone who knows how it was unlearned",
    "RMIA": "share of never seen samples that a sample dominates, in proportion to the references",
}
OF_RECORDS = {
    "exposed": "share of the records (percent) that are called members at 1 % of false positives, "
    "each by the references that were not trained on it; of images that no model saw it is 1 % if "
    "the rule holds. In brackets: from the records that are exposed for sure to those that may be",
    "FPR": "at which rate of false positives (percent) the record is called a member; low is "
    "exposed. In brackets its 95 % interval, from the finite number of references. What is far "
    "below 1 % is an extrapolation by the normal distribution",
    "memorisation": "how much likelier references are right about a record if trained on it "
    "(-1 to 1), and its standard error",
}


def plot_roc(scores: Mapping[str, Mapping[str, Pair]], path: Path) -> None:
    """True over false positives on logarithmic axes, a panel for each attack.

    ``scores``: by attack and model: scores of members and of non-members.
    """
    least = min(
        1 / len(one) for models in scores.values() for pair in models.values() for one in pair
    )
    grid = {"sharey": True, "squeeze": False}
    with drawn(path, 1 + 3.3 * len(scores), 3.7, 1, len(scores), **grid) as (panels,):
        for axes, (name, models) in zip(panels, scores.items(), strict=True):
            axes.plot([least / 2, 1], [least / 2, 1], color="#cccccc", lw=0.8, label="a guess")
            for label, pair in models.items():
                false, true = Curve.of(*pair).points()
                # On a logarithmic axis zero is not to be seen: half of one sample stands for it.
                shown = [np.maximum(_filled(rate), least / 2) for rate in (false, true)]
                axes.plot(*shown, label=label, color=LINES[label])
            axes.set(xscale="log", yscale="log", xlim=(least / 2, 1), ylim=(least / 2, 1.05))
            axes.set(title=TITLES[name], xlabel="false positives")
            axes.legend(fontsize=8, loc="lower right")
        panels[0].set_ylabel("true positives")


def _filled(rates: Scores) -> Scores:
    """The points of a ROC with others between: straight lines are curves on logarithmic axes.

    A long one joins the ends of a tie, as the AUC counts it: half of its pairs.
    """
    between = np.concatenate([[0.0], np.geomspace(1e-3, 1, 40)])
    return np.ravel(rates[:-1, None] + np.diff(rates)[:, None] * between)


def print_attacks(title: str, rows: Rows) -> None:
    """A table of models against what the attacks find."""
    print_texts(title, *table_of(rows, COLUMNS))


def print_exposed(rows: Rows) -> None:
    """A table of models against shares of exposed records; nothing where there are none."""
    if names := _exposed(rows):
        print_texts("exposed at 1 % of false positives, in percent", *table_of(rows, names))


def print_worst(records: Sequence[Row]) -> None:
    """The worst records, with their rates of false positives in percent."""
    if records:
        print_texts(
            "the forgotten records that are most exposed (FPR in percent)", *_worst(records)
        )


def describe_records(
    rows: Rows, metrics: Mapping[str, float], records: Sequence[Row], notes: Sequence[str]
) -> str:
    """How exposed single records are, with notes; ``metrics`` hold the mean memorisation."""
    exposed = table_of(rows, _exposed(rows))
    means = {"forgotten": "memorisation", "retained": "memorisation_retain"}
    texts = [f"{word} {cell(metrics, n)}" for word, n in means.items() if n in metrics]
    return paragraphs(
        "**Single records.** " + " ".join(f"Note: {one}." for one in notes),
        markdown_table(*exposed) if exposed[0][1:] else "",
        f"Memorisation, mean of the records: {', '.join(texts)}.",
        markdown_table(*_worst(records, escape)) if records else "",
        "All are in the artifact `records.csv`, the most exposed first.",
        items(OF_RECORDS),
    )


def _exposed(rows: Rows) -> dict[str, str]:
    """The columns of exposed records that a model has."""
    return {n: head for n, head in EXPOSED.items() if any(n in row for row in rows.values())}


def table_of(rows: Rows, columns: Mapping[str, str]) -> Texts:
    """A table of models against numbers, which ``columns`` gives headings."""
    cells = [[label, *(cell(row, name) for name in columns)] for label, row in rows.items()]
    return ["", *columns.values()], cells, "l" * (1 + len(columns))


def cell(metrics: Mapping[str, float], name: str) -> str:
    """A number with its interval, or a dash."""
    if name not in metrics:
        return "-"
    digits = 3 if name.endswith("auc") or name.startswith("memorisation") else 1
    text = f"{metrics[name]:.{digits}f}"
    if (low := metrics.get(f"{name}_lo")) is None:
        return text
    return f"{text} [{low:.{digits}f}, {metrics[f'{name}_hi']:.{digits}f}]"


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
