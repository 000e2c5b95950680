"""Samples far out along the main direction of their class: see :mod:`mu.detection.spectral`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset, Indices
from mu.errors import UserError
from mu.models.features import features
from mu.runs import Run

FACTOR = 1.5  # how many are suspected for each one expected
STANDS_OUT = 6.0  # of the farthest sample; clean classes mostly stay below
# By class: its rows of the training part, and their places along the class's main direction.
Places = dict[int, tuple[Indices, NDArray[np.float64]]]
FEWEST = 3  # samples of a class that has a direction of its own


def suspects_of(
    checkpoint: Checkpoint,
    dataset: ImageDataset,
    run: Run,
    *,
    share: float,
    label: int | None,
    one: bool,
) -> Indices:
    """Sample numbers of suspected training images, sorted.

    Parameters
    ----------
    share
        Of a class that is expected to be poisoned at most, 0-1.
    label
        The class whose samples are suspected; None for all classes.
    one
        Whether only the class that stands out most is suspected.

    Raises
    ------
    UserError
        If no class has enough samples, or the network has no features.
    """
    train = checkpoint.spec.split(dataset).train
    labels = dataset.train.labels.numpy()[train]
    found = features(checkpoint.model, dataset.training_subset(train), run)
    places: Places = {}
    for chosen in np.unique(labels) if label is None else [label]:
        rows = np.flatnonzero(labels == chosen)
        if len(rows) >= FEWEST:
            places[int(chosen)] = (rows, along_main_direction(found[torch.from_numpy(rows)]))
    if not places:
        raise UserError("suspects=spectral: no class has enough training samples to compare")
    if one:
        places = _standing_out(places, dataset, run)
    suspects = [train[rows[_far_out(place, share)]] for rows, place in places.values()]
    return np.sort(np.concatenate(suspects))


def _far_out(place: NDArray[np.float64], share: float) -> Indices:
    """The rows that are farthest out; of equals the first ones."""
    count = max(1, min(len(place) - 1, round(FACTOR * share * len(place))))
    return np.argsort(-(place**2), kind="stable")[:count]


def _standing_out(places: Places, dataset: ImageDataset, run: Run) -> Places:
    """The one class whose farthest sample is farthest out."""
    far = {label: farthest(place) for label, (_, place) in places.items()}
    label = max(far, key=lambda one: far[one])
    rest = max((value for one, value in far.items() if one != label), default=0.0)
    name = dataset.classes[label]
    run.note(
        f"spectral signatures: class {name!r} stands out most, its farthest sample by "
        f"{far[label]:.1f} median distances, of other classes by {rest:.1f} at most"
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
