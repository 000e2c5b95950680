"""Scores of single samples that membership attacks look at; higher for what looks like a member.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security: the four scores, and the modified entropy, which knows the label.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mu.evaluation.outputs import Outputs

# The logarithm that a probability of 0 counts as, so that no score is infinite.
LOWEST = math.log(1e-30)


def correctness(outputs: Outputs) -> Tensor:
    """1 where a sample is given its label, else 0."""
    return (outputs.predictions == outputs.labels).double()


def confidence(outputs: Outputs) -> Tensor:
    """Probability of the true class, 0-1."""
    return outputs.confidence()


def entropy(outputs: Outputs) -> Tensor:
    """Sum of p log p over the classes: 0 where a network is sure, else negative (nats)."""
    log_p = outputs.logits.log_softmax(1)
    return (log_p.exp() * _bounded(log_p)).sum(1)


def modified_entropy(outputs: Outputs) -> Tensor:
    """(1 - p_y) log p_y + sum over other classes of p_i log(1 - p_i): 0 where sure and right.

    The negative of Song & Mittal's measure. A network that is sure and wrong scores lowest.
    """
    log_p = outputs.logits.log_softmax(1)
    log_rest = _log_of_the_others(outputs.logits, log_p)
    own = outputs.labels[:, None]
    terms = log_p.exp() * _bounded(log_rest)
    of_label = log_rest.gather(1, own).exp() * _bounded(log_p.gather(1, own))
    return terms.scatter(1, own, of_label).sum(1)


def probabilities(outputs: Outputs) -> Tensor:
    """The whole vector: float64 of shape (n_samples, n_classes), 0-1."""
    return outputs.logits.softmax(1)


# In the order of the paper's table; each of shape (n_samples,), the last (n_samples, n_classes).
SCORES: dict[str, Callable[[Outputs], Tensor]] = {
    "correctness": correctness,
    "confidence": confidence,
    "entropy": entropy,
    "m_entropy": modified_entropy,
    "prob": probabilities,
}


def _bounded(logarithms: Tensor) -> Tensor:
    """Logarithms of probabilities, at least :data:`LOWEST`, so that 0 log 0 is 0."""
    return logarithms.clamp(min=LOWEST)


def _log_of_the_others(logits: Tensor, log_p: Tensor) -> Tensor:
    """log(1 - p_i), of shape (n_samples, n_classes).

    The likeliest class's p may be as good as 1, where the difference has no digits left: its
    others are added up instead.
    """
    top = log_p.argmax(1, keepdim=True)
    others = log_p.scatter(1, top, -math.inf).logsumexp(1, keepdim=True)
    others = others.nan_to_num(nan=-math.inf)  # of one class only, there are no others
    return torch.log1p(-log_p.exp().scatter(1, top, 0.0)).scatter(1, top, others)
