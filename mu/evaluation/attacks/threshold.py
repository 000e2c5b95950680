"""The attack by thresholds: one for each class on the modified entropy.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security, section 4: a sample is called a member where its measure is on the members' side of the
threshold that tells most of its class right.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mu.evaluation.outputs import Outputs

Scores = NDArray[np.float64]


class ThresholdAttack:
    """Calls members what lies at or above its class's threshold.

    A class of which members or non-members are missing is judged by the threshold of all.
    ``members`` and ``non_members``: outputs for samples that were and were not trained on.
    """

    def __init__(self, members: Outputs, non_members: Outputs) -> None:
        one, other = (part.score("modified_entropy").numpy() for part in (members, non_members))
        self._common = threshold(one, other)
        self._of_class = {
            label: threshold(one[mine], other[theirs])
            for label in range(members.classes)
            if (mine := (members.labels == label).numpy()).any()
            and (theirs := (non_members.labels == label).numpy()).any()
        }

    def evidence(self, outputs: Outputs) -> Scores:
        """Of shape (n,): how far each sample's measure lies above its class's threshold."""
        limits = [self._of_class.get(label, self._common) for label in outputs.labels.tolist()]
        found = outputs.score("modified_entropy") - torch.tensor(limits, dtype=torch.float64)
        return np.asarray(found.numpy())

    def is_member(self, outputs: Outputs) -> NDArray[np.bool_]:
        """Bool of shape (n,): whether each sample looks like a member."""
        return self.evidence(outputs) >= 0


def threshold(members: Scores, non_members: Scores) -> float:
    """The score from which on to call members, so that the mean of both rates is highest.

    ``members`` and ``non_members``: of shape (n,), not empty. Where several are as good, the
    lowest is taken: where nothing tells them apart all are members, as the other attack has it.
    """
    values = np.unique(np.concatenate([members, non_members]))
    below_members, below_others = (
        np.searchsorted(np.sort(part), values) for part in (members, non_members)
    )
    # In whole numbers, so that rounding decides no tie. 0 at the lowest value, where all are called
    # members.
    gain = below_others * len(members) - below_members * len(non_members)
    return float(values[int(np.argmax(gain))])
