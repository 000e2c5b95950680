"""What a run of ``lira`` shows: the ROC of each attack, its table and its description."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mu.evaluation.attacks.rates import Curve, Scores
from mu.evaluation.references import Pair
from mu.report.console import Texts, print_texts
from mu.report.markdown import items, links_list, markdown_table, paragraphs
from mu.report.plots import COLOURS, drawn

TITLES = {"lira": "LiRA", "ulira": "U-LiRA", "rmia": "RMIA"}
LINES = {"original": "#999999", "unlearned": COLOURS["retain"], "oracle": COLOURS["test"]}
# Columns of the table and of the description, by the number that they show.
COLUMNS = {
    "lira_auc": "LiRA AUC",
    "lira_tpr_at_1": "LiRA TPR@1 %",
    "ulira_auc": "U-LiRA AUC",
    "rmia_auc": "RMIA AUC",
}
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


def print_attacks(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """A table of models against what the attacks find, ``lira_auc``, ``lira_auc_lo`` and so on."""
    print_texts(title, *_table(rows))


def describe_attacks(
    method: str, original: str, sizes: Mapping[str, int], rows: Mapping[str, Mapping[str, float]],
    links: Mapping[str, str],
) -> str:  # fmt: skip
    """What a lira run did and found, in Markdown.

    ``original``: in a phrase. ``sizes``: how many ``references``, ``members``, ``non_members`` and
    samples of the ``population``. ``rows``: as of :func:`print_attacks`. ``links``: run IDs by
    role.
    """
    return paragraphs(
        f"**Membership attacks** on {method}, which made {original} forget: "
        f"{sizes['members']:,} forgotten samples against {sizes['non_members']:,} test images of "
        f"the same classes, with {sizes['references']} reference models and a population of "
        f"{sizes['population']:,}.",
        markdown_table(*_table(rows)),
        "Unlearning is to bring the original's numbers down to the oracle's, which never saw the "
        "samples.",
        links_list(links),
        items(DEFINITIONS),
    )


def _table(rows: Mapping[str, Mapping[str, float]]) -> Texts:
    cells = [[label, *(cell(row, name) for name in COLUMNS)] for label, row in rows.items()]
    return ["", *COLUMNS.values()], cells, "l" * (1 + len(COLUMNS))


def cell(metrics: Mapping[str, float], name: str) -> str:
    """A number with its interval, or a dash."""
    if name not in metrics:
        return "-"
    digits = 3 if name.endswith("auc") or name.startswith("memorisation") else 1
    text = f"{metrics[name]:.{digits}f}"
    if (low := metrics.get(f"{name}_lo")) is None:
        return text
    return f"{text} [{low:.{digits}f}, {metrics[f'{name}_hi']:.{digits}f}]"
