"""Pictures of a backdoor: the trigger, what a network makes of it, and both over sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mu.data.attack import AttackedDataset
from mu.data.images import Images, Subset
from mu.evaluation.outputs import predict
from mu.report.plots import COLOURS, drawable, drawn, show_images
from mu.runs import Run

SAMPLES = 8
PREDICTED = 6
SPAN = 10.0  # points that the axis of accuracy covers at the least


def plot_trigger(dataset: AttackedDataset, path: Path) -> None:
    """Clean test images, the same ones triggered, and what the trigger changed, magnified.

    The change is so bright that the strongest is white.
    """
    rows = _examples(dataset, SAMPLES)
    clean = dataset.test.fetch(rows)
    triggered = dataset.attack.make_trigger().apply(clean)
    change = (triggered.int() - clean.int()).abs()
    factor = 255 / max(1, int(change.max()))
    magnified = (change * factor).round().byte()
    labels = ("clean", "triggered", f"change\n(x {factor:.3g})" if factor > 1 else "change")
    target = dataset.attack.target
    aim = "the next class" if target is None else dataset.classes[target]
    with drawn(path, 1.2 * SAMPLES, 4.4, 3, SAMPLES, squeeze=False) as axes:
        for line, label, pixels in zip(axes, labels, (clean, triggered, magnified), strict=True):
            show_images(line, map(drawable, pixels), label)
        line[0].figure.suptitle(
            f"trigger {dataset.attack.trigger}; triggered images are to be taken for {aim}"
        )


def plot_predictions(
    dataset: AttackedDataset, before: nn.Module, after: nn.Module, run: Run, folder: Path
) -> None:
    """What both networks say of clean and of triggered test images."""
    rows = _examples(dataset, PREDICTED)
    clean = dataset.test.fetch(rows)
    labels = dataset.test.labels[rows]
    aims = dataset.aims(labels)
    triggered = dataset.attack.make_trigger().apply(clean)
    path = folder / "predictions.png"
    with drawn(path, 1.7 * PREDICTED, 5.0, 2, PREDICTED, squeeze=False) as axes:
        for line, pixels, kind in zip(
            axes, (clean, triggered), ("clean", "triggered"), strict=True
        ):
            show_images(line, map(drawable, pixels), kind)
            images = Images(pixels, labels)
            subset = Subset(images, np.arange(len(images)), dataset.mean, dataset.std)
            columns = [labels, *(predict(one, subset, run).predictions for one in (before, after))]
            rows_of_words = torch.stack(columns, 1).tolist()
            for place, numbers, aim in zip(line, rows_of_words, aims.tolist(), strict=False):
                words = zip(("true", "before", "after"), numbers, strict=True)
                title = "\n".join(f"{word}: {dataset.classes[label]}" for word, label in words)
                colour = COLOURS["forget"] if numbers[-1] == aim else "black"
                place.set_title(title, fontsize=8, color=colour)
        line[0].figure.suptitle(
            "before and after unlearning; red: still what the attacker wants", fontsize=10
        )


def plot_over_sparsity(rows: Sequence[Mapping[str, float]], method: str, path: Path) -> None:
    """Clean accuracy and attack success before and after unlearning, over sparsity.

    ``rows``: ``sparsity``, ``TA_before``, ``ASR_before``, ``TA``, ``ASR``, in percent.
    """
    at = np.arange(len(rows))
    with drawn(path, 8, 3.4, 1, 2) as (left, right):
        for axes, name, title in (
            (left, "TA", "accuracy on clean test images, %"),
            (right, "ASR", "attack success rate, %"),
        ):
            before, after = ([row[one] for row in rows] for one in (f"{name}_before", name))
            axes.plot(at, before, "o--", color="#777777", label="before")
            axes.plot(at, after, "o-", color=COLOURS["forget"], label=f"after {method}")
            axes.set_xticks(at, [f"{row['sparsity']:.3g}" for row in rows])
            axes.set(xlabel="sparsity, %", title=title)
        low, high = left.get_ylim()
        if high - low < SPAN:  # a point is not to look like a collapse
            middle = (low + high) / 2
            left.set_ylim(middle - SPAN / 2, middle + SPAN / 2)
        right.set_ylim(-3, 103)
        right.legend()


def _examples(dataset: AttackedDataset, count: int) -> Tensor:
    """Rows of test images that can be attacked, of as many classes as there are, (<= count,)."""
    labels = dataset.test.labels
    usable = torch.nonzero(dataset.aims(labels) != labels).squeeze(1)
    sources = dataset.sources or tuple(range(len(dataset.classes)))
    others = [one for one in range(len(dataset.classes)) if one not in sources]
    by_class = [usable[labels[usable] == label].tolist() for label in (*sources, *others)]
    turns = chain.from_iterable(zip_longest(*by_class))  # one of each class, then a second one
    return torch.tensor([row for row in turns if row is not None][:count])
