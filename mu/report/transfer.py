"""What the page of a transfer run shows: a description and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mu.report.markdown import links_list, paragraphs
from mu.report.plots import COLOURS, drawn, grouped_bars
from mu.report.prose import table_of

COLUMNS = ("target_acc", "target_train_acc", "target_gain", "UA", "RA", "TA")
_WHAT = {
    "head": "Only a new linear head was trained; the features stayed as they were",
    "all": "A new linear head and all weights that are not pruned were trained",
}
_READ = (
    "target_acc, target_train_acc: accuracy on the target's test and training images, percent; "
    "target_gain: ahead of the original by so many points. UA, RA, TA are of the source, before "
    "the transfer."
)


def describe_transfer(
    target: str,
    tune: str,
    method: str,
    forget: str,
    rows: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, float],
    links: Mapping[str, str],
    notes: Sequence[str] = (),
) -> str:
    """What a transfer run did, its numbers, and its lineage; Markdown.

    ``rows``: numbers of each network, by what it is called. ``metrics``: of the run,
    ``target_gain`` with its interval. ``links``: run IDs by role.
    """
    return paragraphs(
        f"**Transfer** to `{target}`: `{method}` made the source model forget `{forget}`, then "
        f"each network below was trained on in the same way from the same new head. {_WHAT[tune]}.",
        table_of(COLUMNS, list(rows.values()), list(rows)),
        f"Gain of the unlearned network over the original: **{gain_in_words(metrics)}**.",
        *(f"> {note}" for note in notes),
        links_list(links),
        _READ,
    )


def gain_in_words(metrics: Mapping[str, float]) -> str:
    """The gain and its interval."""
    low, high = metrics["target_gain_lo"], metrics["target_gain_hi"]
    return f"{metrics['target_gain']:+.2f} points, {low:+.2f} to {high:+.2f} with other test images"


def plot_transfer(rows: Mapping[str, Mapping[str, float]], target: str, path: Path) -> None:
    """Accuracy on the target's test and training images, of each network."""
    series = {
        "test": [row["target_acc"] for row in rows.values()],
        "training": [row["target_train_acc"] for row in rows.values()],
    }
    with drawn(path, 6, 3.4) as axes:
        grouped_bars(axes, series, (COLOURS["retain"], COLOURS["test"]))
        axes.set_xticks(range(len(rows)), list(rows))
        axes.set(ylim=(0, 112), ylabel="accuracy, %", title=f"after transfer to {target}")
