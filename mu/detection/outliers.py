"""Samples far out along the main direction of their class: see :mod:`mu.detection.spectral`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset, Indices
from mu.errors import UserError
from mu.models.head import features
from mu.runs import Run

FACTOR = 1.5  # how many are suspected for each one expected
STANDS_OUT = 6.0  # of the farthest sample; clean classes mostly stay below
FEWEST = 3  # samples of a class that has a direction of its own
# By class: its sample numbers, and their places along the class's main direction.
Places = dict[int, tuple[Indices, NDArray[np.float64]]]


def main_places(
    checkpoint: Checkpoint, dataset: ImageDataset, run: Run, label: int | None
) -> Places:
    """Where the training samples lie, of the class ``label`` or of all.

    A :class:`UserError` says so if no class has enough samples, or the network has no features.
    """
    train = checkpoint.spec.split(dataset).train
    labels = dataset.train.labels.numpy()[train]
    found = features(checkpoint.model, dataset.training_subset(train), run)
    places: Places = {}
    for chosen in np.unique(labels) if label is None else [label]:
        rows = np.flatnonzero(labels == chosen)
        if len(rows) >= FEWEST:
            place = along_main_direction(found[torch.from_numpy(rows)])
            places[int(chosen)] = train[rows], place
    if not places:
        raise UserError("suspects=spectral: no class has enough training samples to compare")
    return places


def suspects_of(places: Places, share: float) -> Indices:
    """Sample numbers of those that are farthest out, sorted; for ``share`` see the settings."""
    suspects = []
    for numbers, place in places.values():
        count = max(1, min(len(place) - 1, round(FACTOR * share * len(place))))
        suspects.append(numbers[np.argsort(-(place**2), kind="stable")[:count]])
    return np.sort(np.concatenate(suspects))


def standing_out(places: Places, dataset: ImageDataset, run: Run) -> Places:
    """The one class whose farthest sample is farthest out."""
    far = {label: farthest(place) for label, (_, place) in places.items()}
    label = max(far, key=far.__getitem__)
    rest = max((value for one, value in far.items() if one != label), default=0.0)
    run.note(
        f"spectral signatures: class {dataset.classes[label]!r} stands out most, its farthest "
        f"sample by {far[label]:.1f} median distances, of other classes by {rest:.1f} at most"
    )
    if far[label] < STANDS_OUT:
        run.note(
            "no class stands out clearly, so the suspects may be arbitrary: either nothing is "
            "poisoned, or the poison is no minority in its class; name the class with "
            "suspects_among if you know it"
        )
    return {label: places[label]}


def along_main_direction(features: Tensor) -> NDArray[np.float64]:
    """Each sample's part along the direction in which the samples vary most, (n_samples,).

    Parameters
    ----------
    features
        Of shape (n_samples, n_features).
    """
    centred = features.double() - features.double().mean(0)
    direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
    return np.asarray((centred @ direction).numpy())


def farthest(place: NDArray[np.float64]) -> float:
    """Distance of the farthest sample from the median, in units of the median distance."""
    distance = np.abs(place - np.median(place))
    unit = float(np.median(distance)) or float(distance.mean())  # most may be the same
    return float(distance.max() / unit) if unit else 0.0


def precision_and_recall(suspects: Indices, poisoned: Indices) -> dict[str, float]:
    """How well the suspects are the poisoned samples, in percent (0-100).

    Returns
    -------
    dict
        ``suspects_precision``: share of the suspects that are poisoned; ``suspects_recall``:
        share of the poisoned samples that are suspected.

    Raises
    ------
    ValueError
        If either is empty.
    """
    if not len(suspects) or not len(poisoned):
        raise ValueError("precision and recall need suspects and poisoned samples")
    both = len(np.intersect1d(suspects, poisoned))
    return {
        "suspects_precision": 100.0 * both / len(suspects),
        "suspects_recall": 100.0 * both / len(poisoned),
    }
