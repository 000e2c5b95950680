"""A contact sheet: some images of each class of a file of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mu.data.image_files import decode_rgb
from mu.data.store.reader import ImageStore
from mu.report.plots import save

CLASSES = 10  # shown at the most
EACH = 8


def plot_contact_sheet(store: ImageStore, path: Path) -> None:
    """The first training images of the first classes, a row for each."""
    labels = store.labels("train")
    shown = [label for label, count in enumerate(store.card.counts["train"]) if count][:CLASSES]
    figure = Figure(figsize=(1.1 * EACH + 1.5, 1.15 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), EACH, squeeze=False)
    for line, label in zip(axes, shown, strict=True):
        numbers = np.flatnonzero(labels == label)[:EACH]
        for place, number in zip(line, numbers, strict=False):
            content = store.image("train", int(number))
            place.imshow(decode_rgb(f"train image {number}", content), interpolation="nearest")
        for place in line:
            place.set(xticks=[], yticks=[])
        for place in line[len(numbers) :]:
            place.set_visible(False)
        line[0].set_ylabel(store.card.classes[label], rotation=0, ha="right", va="center")
    save(figure, path)
