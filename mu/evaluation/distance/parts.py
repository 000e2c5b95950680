"""The parts of a forget split that models are compared on, and that they saw the same samples."""

from __future__ import annotations

from mu.evaluation.outputs import Outputs

PARTS = ("forget", "retain", "test")  # attributes of SplitOutputs, and endings of names


def check_same_samples(ours: Outputs, oracle: Outputs, part: str) -> None:
    """Refuse outputs that cannot be of the same samples in the same order.

    Only labels can tell: samples of equal labels that changed places go unseen.

    Raises
    ------
    ValueError
        If there are no samples, or labels or numbers of classes differ.
    """
    if not len(ours) or not len(oracle):
        raise ValueError(f"models cannot be compared on no {part} samples")
    if ours.labels.tolist() != oracle.labels.tolist():
        raise ValueError(f"the two models were looked at on different {part} samples")
    if ours.classes != oracle.classes:
        raise ValueError(f"the two models have {ours.classes} and {oracle.classes} classes")
