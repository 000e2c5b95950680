"""What a detector is: a way to rank training samples by how much they look poisoned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.hyperparameters import setting
from mu.registry import Registered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mu.checkpoints import Checkpoint
    from mu.data.images import ImageDataset, Indices
    from mu.runs import Run


@dataclass(frozen=True, eq=False)
class Suspects:
    """Training samples that are taken to be poisoned, the most suspicious first."""

    numbers: Indices  # sample numbers, int64 of shape (n,), each once
    # How suspicious each is, float64 of shape (n,), the highest first; what they are depends on the
    # detector.
    scores: NDArray[np.float64]
    stand_out: bool  # whether they stand out from clean samples; where not, they may be arbitrary


@dataclass(frozen=True)
class Detector(Registered, ABC):
    """A way to find poisoned samples. Fields are settings, typed with the prefix ``suspects_``."""

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

    @abstractmethod
    def suspect(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> Suspects:
        """Training samples that are suspected; none where nothing can be.

        ``dataset``: the data that the network was trained on, with the labels that it was told.
        ``run``: where the work is done; its notes say how clearly the suspects stand out. UserError
        if the class does not exist, none has enough samples, or the network has no features.
        """
