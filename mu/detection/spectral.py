"""Spectral signatures: poisoned samples stand out among those that share their label.

The features of each class are centred, and each sample is scored by the square of its part along
the direction in which the class varies most, here relative to the mean of its class. Poisoned
samples, which have little in common with the rest of their class, are far out in that direction,
as long as they are a minority there.

References
----------
Tran, Li & Madry (2018), Spectral Signatures in Backdoor Attacks, NeurIPS, arXiv:1811.00636,
algorithm 1: scores, and that of each class 1.5 times as many samples are suspected as are
expected to be poisoned at most. Not the paper's: suspecting one class only, the one whose
farthest sample is farthest out, in units of the median distance from the class's median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.detection.base import Detector, Suspects
from mu.hyperparameters import setting

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.images import ImageDataset
    from mu.runs import Run


@dataclass(frozen=True)
class SpectralSignatures(Detector):
    """How samples are suspected."""

    name = "spectral"

    share: float = setting(
        0.2,
        help="share of its class that is expected to be poisoned at most; 1.5 times as many are "
        "suspected",
        above=0.0,
        high=0.5,
    )

    def suspect(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> Suspects:
        """See :meth:`Detector.suspect`."""
        from mu.detection import activations

        classes = activations.features_by_class(checkpoint, dataset, run, self)
        places = {
            label: activations.along_main_direction(one.features) for label, one in classes.items()
        }
        far = {label: activations.farthest(place) for label, place in places.items()}
        if self.among == "auto":
            label = activations.standing_out(far, dataset, run)
            places = {label: places[label]}
        chosen = {
            label: activations.suspected(place, self.share) for label, place in places.items()
        }
        found = [(classes[label].numbers[rows], scores) for label, (rows, scores) in chosen.items()]
        return activations.ranked(found, max(far.values()) >= activations.STANDS_OUT)
