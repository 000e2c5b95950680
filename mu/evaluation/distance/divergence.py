"""How differently two models answer: Jensen-Shannon divergence, and how often they agree.

References
----------
Lin (1991), Divergence Measures Based on the Shannon Entropy, IEEE Transactions on Information
Theory 37(1). To the base 2, which makes 1 the largest value. Chundawat et al. (2023), Can Bad
Teaching Induce Forgetting?, AAAI, compare unlearned models with retrained ones by it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mu.evaluation import PARTS
from mu.evaluation.outputs import Outputs, SplitOutputs, check_same_samples

# Above it exp overflows; the product with a probability that small is nothing all the same.
LARGEST_LOG_RATIO = 700.0
DIVERGED = "logits must be numbers; a model has diverged"


def divergences(ours: SplitOutputs, oracle: SplitOutputs) -> dict[str, float]:
    """Divergence and agreement on the forget, retain and test samples.

    ValueError if the two were looked at on different samples, or on none, or a logit is not finite.
    Gives ``js_forget``, ``js_retain``, ``js_test``: the mean divergence of a sample, in bits (0-1),
    of the parts that have logits; ``agreement_forget``, ``agreement_retain``, ``agreement_test``:
    the share of samples that both give the same class, in percent (0-100). A model against itself
    gives exactly 0 and 100. A class that is forgotten as a whole is not in the test part.
    """
    found = {}
    for part in PARTS:
        one, other = getattr(ours, part), getattr(oracle, part)
        check_same_samples(one, other, part)
        if one.has_logits and other.has_logits:
            found[f"js_{part}"] = float(js_divergence(one.logits, other.logits).mean())
        elif any(bool(model.score("entropy").isnan().any()) for model in (one, other)):
            raise ValueError(DIVERGED)  # as :func:`js_divergence` does of such logits
        found[f"agreement_{part}"] = agreement(one, other)
    return found


def js_divergence(ours: Tensor, oracle: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the softmax of two rows of logits, in bits (0-1).

    ValueError if a row makes no probabilities. Gives float64 of shape (n_samples,). ``ours`` and
    ``oracle``: logits of shape (n_samples, n_classes); -inf is a probability of 0.
    """
    p, q = ours.double().log_softmax(1), oracle.double().log_softmax(1)
    if bool(p.isnan().any() | q.isnan().any()):
        raise ValueError(DIVERGED)
    both = _to_mixture(p, q) + _to_mixture(q, p)
    return (both / (2 * math.log(2))).clamp(0, 1)


def _to_mixture(p: Tensor, q: Tensor) -> Tensor:
    """KL divergence (nats) from the even mixture of both, of log-probabilities, shape (n,).

    log p - log((p + q) / 2) is written by the ratio q / p, so that equal rows give exactly 0
    and small differences do not drown in rounding.
    """
    ratio = (q - p).clamp(max=LARGEST_LOG_RATIO)
    terms = -p.exp() * torch.log1p(ratio.expm1() / 2)
    return torch.where(p.exp() > 0, terms, 0.0).sum(1)


def agreement(ours: Outputs, oracle: Outputs) -> float:
    """Share of samples that both models give the same class, in percent (0-100)."""
    return 100.0 * float((ours.predictions == oracle.predictions).double().mean())
