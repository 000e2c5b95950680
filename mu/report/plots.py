"""Plots that a run's page shows inline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mu.evaluation import GAP_METRICS, SplitOutputs
from mu.masks import Mask
from mu.recipes.recipe import Stage
from mu.report.console import OF_BACKDOORS
from mu.runs import Run

DPI = 110
COLOURS = {"retain": "#4477aa", "test": "#ccaa33", "forget": "#cc3311"}


def plot_layers(mask: Mask, path: Path) -> None:
    """Share of kept weights in every layer."""
    layers = mask.layers()
    figure = Figure(figsize=(7, 1.2 + 0.24 * len(layers)), layout="constrained")
    axes = figure.subplots()
    kept = [100 * layer["kept"] / layer["total"] for layer in layers]
    names = [layer["name"].removesuffix(".weight") for layer in layers]
    bars = axes.barh(names, kept, color=COLOURS["retain"])
    axes.bar_label(bars, [f"{layer['kept']:,}" for layer in layers], padding=3, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlim=(0, 112), xlabel="kept weights of the layer, % (number beside the bar)")
    axes.set_title(f"{mask.kept:,} of {mask.total:,} weights kept, sparsity {mask.sparsity:.2f} %")
    axes.tick_params(axis="y", labelsize=7)
    save(figure, path)


def plot_history(run: Run, path: Path, stages: Sequence[Stage] = ()) -> None:
    """Loss and accuracies over the epochs of all rounds; a line marks where one begins."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = run.history("loss")
    left.plot(*_columns(losses), color=COLOURS["retain"])
    # What gradient ascent minimises is below zero.
    scale = "log" if all(value > 0 for _, value in losses) else "symlog"
    left.set(xlabel="epoch", ylabel="loss", yscale=scale, title="training loss")
    series = {"train_acc": ("training", "retain"), "VA": ("validation", "test")}
    last = max((step for step, _ in run.history("loss")), default=0)  # then the final values come
    for name, (label, colour) in series.items():
        if history := [point for point in run.history(name) if point[0] <= last]:
            right.plot(*_columns(history), label=label, color=COLOURS[colour])
    right.set(xlabel="epoch", ylabel="%", title="accuracy")
    for stage in stages[1:]:
        for axes in (left, right):
            axes.axvline(stage.first_step + stage.start_epoch - 0.5, color="#999999", lw=0.8)
    right.legend()
    save(figure, path)


def plot_sparsity(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Accuracy over sparsity: how much each round of pruning cost.

    Parameters
    ----------
    rows
        By round: ``sparsity``, ``TA`` and, where there are validation images, ``VA``.
    """
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, label, colour in (("TA", "test", "retain"), ("VA", "validation", "test")):
        found = [(row["sparsity"], row[name]) for row in rows if name in row]
        axes.plot(*_columns(found), marker="o", label=label, color=COLOURS[colour])
    axes.set(xlabel="sparsity, %", ylabel="%", title="accuracy after each round")
    axes.legend()
    save(figure, path)


def plot_metrics(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """UA, RA, TA and MIA of several models side by side: original, unlearned, oracle.

    Where a backdoor was planted also its success and robust accuracy.
    """
    names = [*GAP_METRICS]
    names += [one for one in OF_BACKDOORS if all(one in row for row in rows.values())]
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(rows)
    place = np.arange(len(names))
    colours = ("#bbbbbb", COLOURS["retain"], COLOURS["test"])
    for index, (label, metrics) in enumerate(rows.items()):
        values = [metrics[name] for name in names]
        shift = (index - (len(rows) - 1) / 2) * width
        bars = axes.bar(place + shift, values, width, label=label, color=colours[index % 3])
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(place, names)
    axes.set(ylim=(0, 112), ylabel="%", title="the nearer to the oracle, the better")
    figure.legend(ncols=len(rows), loc="outside lower center", fontsize=8)
    save(figure, path)


def plot_confidence(before: SplitOutputs, after: SplitOutputs, path: Path) -> None:
    """Distribution of the true class's probability over forget, retain and test samples."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    bins = np.linspace(0, 1, 31)
    for axes, (title, outputs) in zip(
        figure.subplots(1, 2, sharey=True),
        {"original": before, "unlearned": after}.items(),
        strict=True,
    ):
        for part, colour in COLOURS.items():
            scores = getattr(outputs, part).confidence().numpy()
            shares = np.histogram(scores, bins)[0] / len(scores) * 100
            axes.stairs(shares, bins, label=part, color=colour, linewidth=1.6)
        axes.set(title=title, xlabel="probability of the sample's label", yscale="symlog")
        axes.legend()
    figure.axes[0].set_ylabel("% of the samples")
    save(figure, path)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [step for step, _ in pairs], [value for _, value in pairs]


def save(figure: Figure, path: Path) -> None:
    """Write a figure, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
