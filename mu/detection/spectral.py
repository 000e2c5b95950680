"""Spectral signatures: poisoned samples stand out among those that share their label.

The features of each class are centred, and each sample is scored by the square of its part along
the direction in which the class varies most. Poisoned samples, which have little in common with
the rest of their class, are far out in that direction, as long as they are a minority there.

References
----------
Tran, Li & Madry (2018), Spectral Signatures in Backdoor Attacks, NeurIPS, arXiv:1811.00636,
algorithm 1: scores, and that of each class 1.5 times as many samples are suspected as are
expected to be poisoned at most. Not the paper's: suspecting one class only, the one whose
farthest sample is farthest out, in units of the median distance from the class's median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.checkpoints import Checkpoint
from mu.data.forget import label_of
from mu.data.images import ImageDataset, Indices
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, setting
from mu.models.features import features
from mu.runs import Run

FACTOR = 1.5  # how many are suspected for each one expected
STANDS_OUT = 6.0  # of the farthest sample; clean classes mostly stay below
# By class: its rows of the training part, and their places along the class's main direction.
Places = dict[int, tuple[Indices, NDArray[np.float64]]]
FEWEST = 3  # samples of a class that has a direction of its own


@dataclass(frozen=True)
class SpectralSignatures(Hyperparameters):
    """How samples are suspected."""

    share: float = setting(
        0.2,
        help="share of its class that is expected to be poisoned at most; 1.5 times as many are "
        "suspected",
        above=0.0,
        high=0.5,
    )
    among: str = setting(
        "auto",
        help="class whose samples are suspected, by name or number; auto: the one that stands out "
        "most; all: every class, as in the paper",
    )

    def check(self, dataset: ImageDataset) -> None:
        """Refuse a class that ``dataset`` does not have.

        Raises
        ------
        UserError
            If there is none of that name.
        """
        if self.among not in ("auto", "all"):
            label_of(self.among, dataset, option="suspects_among")

    def suspect(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> Indices:
        """Sample numbers of suspected training images, sorted.

        Parameters
        ----------
        dataset
            The data that the network was trained on, with the labels that it was told.

        Raises
        ------
        UserError
            If the class does not exist, or the network has no features.
        """
        train = checkpoint.spec.split(dataset).train
        labels = dataset.train.labels.numpy()[train]
        self.check(dataset)
        chosen = np.unique(labels)
        if self.among not in ("auto", "all"):
            chosen = np.array([label_of(self.among, dataset, option="suspects_among")])
        subset = dataset.training_subset(train)
        found = features(checkpoint.model, subset, run)
        places: Places = {}
        for label in chosen:
            rows = np.flatnonzero(labels == label)
            if len(rows) >= FEWEST:
                places[int(label)] = (rows, along_main_direction(found[torch.from_numpy(rows)]))
        if not places:
            raise UserError("suspects=spectral: no class has enough training samples to compare")
        if self.among == "auto":
            places = self._standing_out(places, dataset, run)
        suspects = [train[rows[self._far_out(place)]] for rows, place in places.values()]
        return np.sort(np.concatenate(suspects))

    def _far_out(self, place: NDArray[np.float64]) -> Indices:
        """The rows that are farthest out; of equals the first ones."""
        count = max(1, min(len(place) - 1, round(FACTOR * self.share * len(place))))
        return np.argsort(-(place**2), kind="stable")[:count]

    def _standing_out(self, places: Places, dataset: ImageDataset, run: Run) -> Places:
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
