"""One number a sample, from a batch's logits: the only place where each of them is defined.

All take logits, float64 of shape (n_samples, n_classes), and labels, int64 of shape (n_samples,),
and give a tensor of shape (n_samples,). A sample's number depends on no other sample, so a large
set is reduced batch by batch.

References
----------
Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX
Security: the modified entropy, which knows the label.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# The logarithm that a probability of 0 counts as, so that no score is infinite.
LOWEST = math.log(1e-30)


def predictions(logits: Tensor, _labels: Tensor) -> Tensor:
    """The class of the largest logit, int64."""
    return logits.argmax(1)


def finite(logits: Tensor, _labels: Tensor) -> Tensor:
    """Whether all logits are numbers, bool."""
    return torch.isfinite(logits).all(1)


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax probability of the true class, 0-1."""
    return _of_label(logits.softmax(1), labels)


def log_confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Its logarithm, finite where the probability is not to be told from 0."""
    return _of_label(logits.log_softmax(1), labels)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the true class less the logsumexp of the others.

    That is the log-odds ``log(p) - log(1 - p)`` of its probability p, exact where p is so near 1
    that ``1 - p`` is lost; infinite where a probability is exactly 0 or 1.
    """
    others = logits.scatter(1, labels[:, None], -math.inf).logsumexp(1)
    return _of_label(logits, labels) - others


def surest(logits: Tensor, _labels: Tensor) -> Tensor:
    """Softmax probability of the likeliest class, 0-1."""
    return logits.softmax(1).max(1).values


def entropy(logits: Tensor, _labels: Tensor) -> Tensor:
    """Sum of p log p over the classes: 0 where a network is sure, else negative (nats)."""
    log_p = logits.log_softmax(1)
    return (log_p.exp() * _bounded(log_p)).sum(1)


def modified_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(1 - p_y) log p_y + sum over other classes of p_i log(1 - p_i): 0 where sure and right.

    The negative of Song & Mittal's measure. A network that is sure and wrong scores lowest.
    """
    log_p = logits.log_softmax(1)
    log_rest = _log_of_the_others(logits, log_p)
    own = labels[:, None]
    terms = log_p.exp() * _bounded(log_rest)
    of_label = log_rest.gather(1, own).exp() * _bounded(log_p.gather(1, own))
    return terms.scatter(1, own, of_label).sum(1)


REDUCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "predictions": predictions,
    "finite": finite,
    "confidence": confidence,
    "log_confidence": log_confidence,
    "margin": margin,
    "surest": surest,
    "entropy": entropy,
    "modified_entropy": modified_entropy,
}


def _of_label(values: Tensor, labels: Tensor) -> Tensor:
    """The value of each sample's true class, of shape (n_samples,)."""
    return values.gather(1, labels[:, None]).squeeze(1)


def _bounded(logarithms: Tensor) -> Tensor:
    """Logarithms of probabilities, at least :data:`LOWEST`, so that 0 log 0 is 0."""
    return logarithms.clamp(min=LOWEST)


def _log_of_the_others(logits: Tensor, log_p: Tensor) -> Tensor:  # noqa: ARG001
    """log(1 - p_i), of shape (n_samples, n_classes).

    The likeliest class's p may be as good as 1, where the difference has no digits left: its
    others are added up instead.
    """
    top = log_p.argmax(1, keepdim=True)
    others = log_p.scatter(1, top, -math.inf).logsumexp(1, keepdim=True)
    others = others.nan_to_num(nan=-math.inf)  # of one class only, there are no others
    return torch.log1p(-log_p.exp().scatter(1, top, 0.0)).scatter(1, top, others)
