"""Contact sheets: some images of each class of a file of images; and suspects, the first ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mu.data.files.decode import decode_rgb
from mu.data.images import ImageDataset
from mu.data.store.reader import ImageStore
from mu.detection.base import Suspects
from mu.report.plots import drawable, drawn, show_images

CLASSES = 10  # shown at the most
EACH = 8
MOST_SUSPECTS = 64  # on the sheet


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


def plot_suspects(dataset: ImageDataset, found: Suspects, path: Path) -> None:
    """The most suspicious training images as the network sees them, the first one top left.

    Above each its sample number, and the class that its label says.
    """
    numbers = found.numbers[:MOST_SUSPECTS]
    images = list(map(drawable, dataset.train.fetch(torch.from_numpy(numbers))))
    labels = dataset.train.labels.numpy()[numbers]
    lines = -(-len(numbers) // EACH)
    size = (1.3 * EACH, 1.6 * lines + 0.5)
    with drawn(path, *size, lines, EACH, squeeze=False) as axes:
        for start, line in zip(range(0, len(numbers), EACH), axes, strict=True):
            show_images(line, images[start : start + EACH], f"from rank {start + 1}")
            titled = zip(line, numbers[start:], labels[start:], strict=False)
            for place, number, label in titled:
                place.set_title(f"{number}\n{dataset.classes[label][:16]}", fontsize=7)
        more = f" of {len(found.numbers)}" if len(found.numbers) > len(numbers) else ""
        axes[0][0].figure.suptitle(f"{len(numbers)}{more} suspects, the most suspicious first")
