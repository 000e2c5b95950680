"""Features in two dimensions, on the same axes before and after unlearning."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

AXES = 2
FEWEST = 50  # samples: three times the neighbours that UMAP looks at

Places = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Places of the same samples in the original and in the unlearned model, (n, 2) each."""

    before: Places
    after: Places
    # Share (0-1) of the variance of the original's features, and of the other's, in the two axes;
    # None where they are not principal components but UMAP's.
    shares: tuple[float, float] | None


def embed(before: Tensor, after: Tensor) -> Embedding:
    """Two axes fitted to the original's features, for both models.

    UMAP's (McInnes et al. 2018) where the package umap-learn is installed, else the two principal
    components. What moves between the two moved in the network: the axes are fitted once. The
    oracle's features have no place there, since a network that was trained by itself has axes of
    its own. ``before``, ``after``: of shape (n_samples, n_features), of the same samples.
    """
    original, unlearned = (np.asarray(one.numpy(), float) for one in (before, after))
    if find_spec("umap") and len(original) >= FEWEST:
        return Embedding(*_by_neighbours(original, unlearned), None)
    return _by_components(original, unlearned)


def _by_neighbours(original: Places, unlearned: Places) -> tuple[Places, Places]:
    from umap import UMAP

    fitted = UMAP(n_components=AXES, random_state=0, n_jobs=1).fit(original)
    return fitted.embedding_, fitted.transform(unlearned)


def _by_components(original: Places, unlearned: Places) -> Embedding:
    with np.errstate(invalid="ignore"):  # shares of the variance, where there is none
        fitted = PCA(n_components=min(AXES, *original.shape), svd_solver="full").fit(original)
    places = [_padded(fitted.transform(one)) for one in (original, unlearned)]
    total = [float(one.var(0).sum()) for one in (original, unlearned)]
    kept = [float(one.var(0).sum()) for one in places]
    shares = [part / whole if whole > 0 else 1.0 for part, whole in zip(kept, total, strict=True)]
    return Embedding(places[0], places[1], (shares[0], shares[1]))


def _padded(places: Places) -> Places:
    return np.pad(places, ((0, 0), (0, AXES - places.shape[1])))
