"""A contact sheet: some images of each class of a file of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mu.data.files.decode import decode_rgb
from mu.data.store.reader import ImageStore
from mu.report.plots import drawn, show_images

CLASSES = 10  # shown at the most
EACH = 8


def plot_contact_sheet(store: ImageStore, path: Path) -> None:
    """The first training images of the first classes, a row for each."""
    labels = store.labels("train")
    shown = [label for label, count in enumerate(store.card.counts["train"]) if count][:CLASSES]
    size = (1.1 * EACH + 1.5, 1.15 * len(shown))
    with drawn(path, *size, len(shown), EACH, squeeze=False) as axes:
        for line, label in zip(axes, shown, strict=True):
            numbers = np.flatnonzero(labels == label)[:EACH].tolist()
            images = [decode_rgb(f"train image {n}", store.image("train", n)) for n in numbers]
            name = store.card.classes[label]
            show_images(line, images, name, rotation=0, ha="right", va="center")
