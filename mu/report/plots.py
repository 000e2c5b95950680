"""Plots that a run's page shows inline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mu.evaluation.catalogue import METRICS
from mu.evaluation.controls import LOGIT_MASK
from mu.evaluation.gap import GAP_METRICS
from mu.evaluation.outputs import SplitOutputs
from mu.masks import Mask
from mu.recipes.recipe import Stage
from mu.report.console import OF_PLANTED
from mu.runs import Run

DPI = 110
COLOURS = {"retain": "#4477aa", "test": "#ccaa33", "forget": "#cc3311"}


@contextmanager
def drawn(path: Path, width: float, height: float, *grid: int, **options: Any) -> Iterator[Any]:
    """The axes of a figure, which is saved when the block ends; its folder is made.

    ``width`` and ``height``: inches. ``grid`` and ``options``: as of matplotlib's ``subplots``.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure.subplots(*grid, **options)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def grouped_bars(
    axes: Axes, series: Mapping[str, ArrayLike], colours: Sequence[str], *, numbers: bool = True
) -> None:
    """Bars of percentages side by side, a legend under the figure.

    ``series``: values (n_groups,) by label. ``numbers``: whether they stand above the bars.
    """
    width = 0.8 / len(series)
    for index, ((label, values), colour) in enumerate(zip(series.items(), colours, strict=True)):
        heights = np.asarray(values)
        place = np.arange(len(heights)) + (index - (len(series) - 1) / 2) * width
        bars = axes.bar(place, heights, width, label=label, color=colour)
        if numbers:
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.figure.legend(ncols=len(series), loc="outside lower center", fontsize=8)


def shares(axes: Axes, scores: ArrayLike, bins: NDArray[Any], label: str, colour: str) -> None:
    """The distribution of some samples' scores (n_samples,), as percentages of them."""
    values = np.asarray(scores)
    heights = np.histogram(values, bins)[0] / len(values) * 100
    axes.stairs(heights, bins, label=label, color=colour, linewidth=1.6)


def show_images(
    line: Sequence[Axes], images: Iterable[ArrayLike], label: str, **of_label: Any
) -> None:
    """Pictures of bytes side by side, a label to their left; what is left of the line is hidden."""
    for axes, image in zip_longest(line, images):
        axes.set(xticks=[], yticks=[])
        axes.set_visible(image is not None)
        if image is not None:
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    line[0].set_ylabel(label, **of_label)


def drawable(image: Tensor) -> NDArray[np.uint8]:
    """An image (channels, height, width) of bytes, as matplotlib draws it.

    (height, width) of one channel, (height, width, 3) of three, else the mean of all.
    """
    if image.shape[0] == 3:
        return np.asarray(image.permute(1, 2, 0).numpy())
    grey = image.float().mean(0).round().byte() if image.shape[0] > 1 else image[0]
    return np.asarray(grey.numpy())


def plot_layers(mask: Mask, path: Path) -> None:
    """Share of kept weights in every layer."""
    layers = mask.layers()
    kept = [100 * layer["kept"] / layer["total"] for layer in layers]
    names = [layer["name"].removesuffix(".weight") for layer in layers]
    with drawn(path, 7, 1.2 + 0.24 * len(layers)) as axes:
        bars = axes.barh(names, kept, color=COLOURS["retain"])
        axes.bar_label(bars, [f"{layer['kept']:,}" for layer in layers], padding=3, fontsize=7)
        axes.invert_yaxis()
        axes.set(xlim=(0, 112), xlabel="kept weights of the layer, % (number beside the bar)")
        axes.set_title(
            f"{mask.kept:,} of {mask.total:,} weights kept, sparsity {mask.sparsity:.2f} %"
        )
        axes.tick_params(axis="y", labelsize=7)


def plot_history(run: Run, path: Path, stages: Sequence[Stage] = ()) -> None:
    """Loss and accuracies over the epochs of all rounds; a line marks where one begins."""
    losses = run.history("loss")
    last = max((step for step, _ in losses), default=0)  # then the final values come
    with drawn(path, 8, 3.2, 1, 2) as (left, right):
        left.plot(*_columns(losses), color=COLOURS["retain"])
        # What gradient ascent minimises is below zero.
        scale = "log" if all(value > 0 for _, value in losses) else "symlog"
        left.set(xlabel="epoch", ylabel="loss", yscale=scale, title="training loss")
        series = {"train_acc": ("training", "retain"), "VA": ("validation", "test")}
        for name, (label, colour) in series.items():
            if history := [point for point in run.history(name) if point[0] <= last]:
                right.plot(*_columns(history), label=label, color=COLOURS[colour])
        right.set(xlabel="epoch", ylabel="%", title="accuracy")
        for stage in stages[1:]:
            for axes in (left, right):
                axes.axvline(stage.first_step + stage.start_epoch - 0.5, color="#999999", lw=0.8)
        right.legend()


def plot_sparsity(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Accuracy over sparsity: how much each round of pruning cost.

    ``rows``: by round: ``sparsity``, ``TA`` and, where there are validation images, ``VA``.
    """
    with drawn(path, 5, 3.2) as axes:
        for name, label, colour in (("TA", "test", "retain"), ("VA", "validation", "test")):
            found = [(row["sparsity"], row[name]) for row in rows if name in row]
            axes.plot(*_columns(found), marker="o", label=label, color=COLOURS[colour])
        axes.set(xlabel="sparsity, %", ylabel="%", title="accuracy after each round")
        axes.legend()


def plot_metrics(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """UA, RA, TA and MIA of models by name: original, logit mask, unlearned, oracle.

    Where something was planted in the training set also its shares.
    """
    names, shares = [*GAP_METRICS], [one for one in OF_PLANTED if METRICS[one].unit == "%"]
    rows = {label: row for label, row in rows.items() if all(name in row for name in names)}
    names += [one for one in shares if all(one in row for row in rows.values())]
    controls = {"original": "#bbbbbb", LOGIT_MASK: "#e0e0e0"}
    others = iter((COLOURS["retain"], COLOURS["test"]))
    colours = [controls[label] if label in controls else next(others) for label in rows]
    series = {label: [row[name] for name in names] for label, row in rows.items()}
    with drawn(path, 8, 3.4) as axes:
        grouped_bars(axes, series, colours)
        axes.set_xticks(range(len(names)), names)
        axes.set(ylim=(0, 112), ylabel="%", title="the nearer to the oracle, the better")


def plot_confidence(before: SplitOutputs, after: SplitOutputs, path: Path) -> None:
    """Distribution of the true class's probability over forget, retain and test samples."""
    bins = np.linspace(0, 1, 31)
    with drawn(path, 8, 3.2, 1, 2, sharey=True) as panels:
        for axes, outputs, title in zip(
            panels, (before, after), ("original", "unlearned"), strict=True
        ):
            for part, colour in COLOURS.items():
                shares(axes, getattr(outputs, part).confidence(), bins, part, colour)
            axes.set(title=title, xlabel="probability of the sample's label", yscale="symlog")
            axes.legend()
        panels[0].set_ylabel("% of the samples")


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [step for step, _ in pairs], [value for _, value in pairs]
