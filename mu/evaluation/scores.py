"""Scores of single samples that membership attacks look at; higher for what looks like a member.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security. :mod:`mu.evaluation.reductions` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mu.evaluation.outputs import Outputs


def correctness(outputs: Outputs) -> Tensor:
    """1 where a sample is given its label, else 0."""
    return outputs.right.double()


def probabilities(outputs: Outputs) -> Tensor:
    """The whole vector: float64 of shape (n_samples, n_classes), 0-1.

    Raises
    ------
    ValueError
        If the set was too large to keep its logits.
    """
    return outputs.logits.softmax(1)


# In the order of the paper's table; each of shape (n_samples,), the last (n_samples, n_classes).
SCORES: dict[str, Callable[[Outputs], Tensor]] = {
    "correctness": correctness,
    "confidence": Outputs.confidence,
    "entropy": Outputs.entropy,
    "m_entropy": Outputs.modified_entropy,
    "prob": probabilities,
}
VECTORS = ("prob",)  # those that take whole vectors of logits
