"""Scores of single samples that membership attacks use; higher for what looks like a member.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security. :mod:`mu.evaluation.reductions` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mu.evaluation.outputs import Outputs

# In the order of the paper's table; each of shape (n_samples,), the last the whole vector of
# probabilities, (n_samples, n_classes), which needs logits.
SCORES: dict[str, Callable[[Outputs], Tensor]] = {
    "correctness": lambda outputs: outputs.right.double(),
    "confidence": Outputs.confidence,
    "entropy": lambda outputs: outputs.score("entropy"),
    "m_entropy": lambda outputs: outputs.score("modified_entropy"),
    "prob": lambda outputs: outputs.logits.softmax(1),
}
VECTORS = ("prob",)  # those that take whole vectors of logits
