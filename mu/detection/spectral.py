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
from typing import TYPE_CHECKING

from mu.hyperparameters import Hyperparameters, setting

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.images import ImageDataset, Indices
    from mu.runs import Run


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

    def label(self, dataset: ImageDataset) -> int | None:
        """The label of the class that is named, None where none is; refuses unknown ones."""
        from mu.data.class_names import label_of

        if self.among in ("auto", "all"):
            return None
        return label_of(self.among, dataset, option="suspects_among")

    def suspect(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> Indices:
        """Sample numbers of suspected training images, sorted.

        Parameters
        ----------
        dataset
            The data that the network was trained on, with the labels that it was told.

        Raises
        ------
        UserError
            If the class does not exist, none has enough samples, or the network has no features.
        """
        from mu.detection.outliers import main_places, standing_out, suspects_of

        places = main_places(checkpoint, dataset, run, self.label(dataset))
        if self.among == "auto":
            places = standing_out(places, dataset, run)
        return suspects_of(places, self.share)
