"""Samples far out along the main direction of their class: see :mod:`mu.detection.spectral`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.data.images import ImageDataset
from mu.detection.activations.by_class import ClassFeatures
from mu.runs import Run

FACTOR = 1.5  # how many are suspected for each one expected
STANDS_OUT = 6.0  # of the farthest sample; clean classes mostly stay below
Places = NDArray[np.float64]  # along the main direction, (n_samples,)


def places(samples: ClassFeatures) -> Places:
    """Where the samples of a class lie along its main direction."""
    return along_main_direction(samples.features)


def suspected(place: Places, share: float) -> tuple[NDArray[np.intp], Places]:
    """Rows of the samples that are farthest out, the farthest first, and their scores.

    ``share``: see the settings. A score is the square of the place, relative to its mean.
    """
    count = max(1, min(len(place) - 1, round(FACTOR * share * len(place))))
    rows = np.argsort(-(place**2), kind="stable")[:count]
    return rows, place[rows] ** 2 / (float((place**2).mean()) or 1.0)


def standing_out(far: Mapping[int, float], dataset: ImageDataset, run: Run) -> int:
    """The one class whose farthest sample is farthest out."""
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
    return label


def along_main_direction(features: Tensor) -> Places:
    """Each sample's part along the direction in which the samples vary most, (n_samples,).

    ``features``: of shape (n_samples, n_features).
    """
    centred = features.double() - features.double().mean(0)
    direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
    return np.asarray((centred @ direction).numpy())


def farthest(place: Places) -> float:
    """Distance of the farthest sample from the median, in units of the median distance."""
    distance = np.abs(place - np.median(place))
    unit = float(np.median(distance)) or float(distance.mean())  # most may be the same
    return float(distance.max() / unit) if unit else 0.0
