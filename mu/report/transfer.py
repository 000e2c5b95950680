"""What the page of a transfer run shows: its words and its plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mu.report.plots import COLOURS, drawn, grouped_bars

COLUMNS = ("target_acc", "target_train_acc", "target_gain", "UA", "RA", "TA")
WHAT = {  # was trained, by the option ``tune``
    "head": "Only a new linear head was trained; the features stayed as they were",
    "all": "A new linear head and all weights that are not pruned were trained",
}
READ = (
    "target_acc, target_train_acc: accuracy on the target's test and training images, percent; "
    "target_gain: ahead of the original by so many points. UA, RA, TA are of the source, before "
    "the transfer."
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
