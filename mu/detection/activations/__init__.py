"""What a network makes of its training samples, class by class, and which of them stand apart.

The parts of detectors that need torch: features of each class; clusters of these, of
:mod:`mu.detection.clustering`; and what is far out among them, of :mod:`mu.detection.spectral`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset, Indices
from mu.detection.base import Detector, Suspects
from mu.errors import UserError
from mu.models.head import NoHeadError, features
from mu.runs import Run

FEWEST = 3  # samples of a class that can be compared


@dataclass(frozen=True, eq=False)
class ClassFeatures:
    """Sample numbers of a class (n,), and their features, float64 of shape (n, n_features)."""

    numbers: Indices
    features: Tensor


def features_by_class(
    checkpoint: Checkpoint, dataset: ImageDataset, run: Run, detector: Detector
) -> dict[int, ClassFeatures]:
    """What the head of the network is given for the training samples that it still knows.

    Of the class that ``detector`` names, or of all. A :class:`UserError` says so if no class has
    enough samples, or the network has no features.
    """
    label = detector.label(dataset)
    train = checkpoint.spec.split(dataset).train
    labels = dataset.train.labels.numpy()[train]
    try:
        found = features(checkpoint.model, dataset.training_subset(train), run)
    except NoHeadError as error:
        raise UserError(
            f"suspects={detector.name} looks at what the head is given, but {error}; "
            "take an original of another arch"
        ) from error
    rows = {
        int(chosen): np.flatnonzero(labels == chosen)
        for chosen in (np.unique(labels) if label is None else [label])
    }
    classes = {
        chosen: ClassFeatures(train[some], found[torch.from_numpy(some)])
        for chosen, some in rows.items()
        if len(some) >= FEWEST
    }
    if not classes:
        raise UserError(
            f"suspects={detector.name}: no class has enough training samples to compare"
        )
    return classes


def ranked(parts: Sequence[tuple[Indices, NDArray[np.float64]]], stand_out: bool) -> Suspects:
    """Suspects of several classes, by their scores; of equal scores the lower number is first."""
    numbers = np.concatenate([np.array([], np.int64), *(one for one, _ in parts)])
    scores = np.concatenate([np.array([], np.float64), *(one for _, one in parts)])
    order = np.lexsort((numbers, -scores))
    return Suspects(numbers[order], scores[order], stand_out)


def precision_and_recall(suspects: Indices, poisoned: Indices) -> dict[str, float]:
    """How well the suspects are the poisoned samples, in percent (0-100).

    ValueError if either is empty. Gives ``suspects_precision``: share of the suspects that are
    poisoned; ``suspects_recall``: share of the poisoned samples that are suspected.
    """
    if not len(suspects) or not len(poisoned):
        raise ValueError("precision and recall need suspects and poisoned samples")
    both = len(np.intersect1d(suspects, poisoned))
    return {
        "suspects_precision": 100.0 * both / len(suspects),
        "suspects_recall": 100.0 * both / len(poisoned),
    }


# --- clusters -----------------------------------------------------------------------------

SEED = 0  # of the components and of the first centres: the same features, the same clusters
STARTS = 10  # of k-means; the best is taken
MOST = 5000  # samples that the silhouette score is of: its time grows with their square
SMALLEST = 1e-6  # share of the largest singular value below which a direction is none


@dataclass(frozen=True, eq=False)
class Cluster:
    """The smallest cluster of a class, against the rest of it."""

    rows: NDArray[np.intp]  # rows of its samples within the class
    # Distance of each to the centre of the rest, in units of the rest's median distance to it.
    scores: NDArray[np.float64]
    share: float  # of the class, 0-0.5
    # Mean silhouette score of the cluster and the rest, -1 to 1; 0 where there is no rest.
    silhouette: float


def smallest_cluster(samples: ClassFeatures, dimensions: int, clusters: int = 2) -> Cluster:
    """The smallest cluster of a class; an empty one where its samples are all the same."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    values = reduced(samples.features.numpy(), dimensions)
    if not values.shape[1]:
        return Cluster(np.array([], np.intp), np.array([]), 0.0, 0.0)
    count = min(clusters, len(np.unique(values, axis=0)))
    labels = KMeans(count, n_init=STARTS, random_state=SEED).fit(values).labels_
    inside = labels == np.argmin(np.bincount(labels, minlength=count))
    far = np.linalg.norm(values - values[~inside].mean(0), axis=1)
    unit = float(np.median(far[~inside])) or 1.0
    few = min(len(values), MOST)
    score = silhouette_score(values, inside, sample_size=few, random_state=SEED)
    rows = np.flatnonzero(inside)
    return Cluster(rows, far[rows] / unit, len(rows) / len(values), float(score))


def reduced(values: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Independent components of features (n_samples, n_features), at most so many.

    Fewer where the samples vary in fewer directions; none where they are all the same.
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    centred = values - values.mean(0)
    sizes = np.linalg.svd(centred, compute_uv=False)
    rank = int((sizes > SMALLEST * sizes[0]).sum()) if sizes[0] > 0 else 0
    count = min(dimensions, rank)
    if not count:
        return np.empty((len(values), 0))
    ica = FastICA(count, whiten="unit-variance", random_state=SEED)
    with warnings.catch_warnings():
        # Components that are not yet independent are a rotation of the principal ones, which
        # k-means does not see.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(ica.fit_transform(centred))


def tell_clusters(
    found: Mapping[int, Cluster],
    suspicious: Mapping[int, Cluster],
    dataset: ImageDataset,
    run: Run,
) -> None:
    """Say in a note which class's clusters look most like poison, and whether any do."""
    label = max(suspicious or found, key=lambda one: found[one].silhouette)
    one = found[label]
    run.note(
        f"activation clustering: the smallest cluster of class {dataset.classes[label]!r} has "
        f"{100 * one.share:.1f} % of it (silhouette score {one.silhouette:.2f}); "
        f"{len(suspicious)} of {len(found)} classes have a suspicious cluster"
    )
    if not suspicious:
        run.note(
            "no cluster stands out, so nobody is suspected: either nothing is poisoned, or the "
            "poison is no small cluster of its class; suspects=spectral is another way"
        )


# --- outliers -----------------------------------------------------------------------------

FACTOR = 1.5  # how many are suspected for each one expected
STANDS_OUT = 6.0  # of the farthest sample; clean classes mostly stay below
Places = NDArray[np.float64]  # along the main direction, (n_samples,)


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
