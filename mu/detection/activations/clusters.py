"""Clusters of a class's features: see :mod:`mu.detection.clustering`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mu.data.images import ImageDataset
from mu.detection.activations.by_class import ClassFeatures
from mu.runs import Run

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


def split(samples: ClassFeatures, dimensions: int, clusters: int = 2) -> Cluster:
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


def tell(
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
