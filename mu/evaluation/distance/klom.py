"""KLoM: for each sample, how the margins of unlearned models and of oracles are distributed.

References
----------
Georgiev, Rinberg, Park, Garg, Ilyas, Madry & Neel (2024), Attribute-to-Delete: Machine Unlearning
via Datamodel Matching, ICLR 2025, arXiv:2410.23232, appendix E.1; constants and the direction of
the divergence as in its authors' benchmark (Rinberg et al. 2025, Easy Data Unlearning Bench,
arXiv:2602.16400), which reports the 95th percentile over samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mu.evaluation import PARTS
from mu.evaluation.outputs import SplitOutputs, check_same_samples

BINS = 20
LARGEST_MARGIN = 100.0
SMALLEST_CHANCE = 1e-5  # of a bin that no oracle fell into; so nothing is above log(1e5) = 11.5
MOST_NATS = -math.log(SMALLEST_CHANCE)
PERCENTILE = 0.95
FEWEST_MODELS = 2


def klom_by_part(
    unlearned: Sequence[SplitOutputs], oracles: Sequence[SplitOutputs]
) -> dict[str, float]:
    """:func:`klom` on the forget, retain and test samples: a high percentile, and the mean.

    ValueError if there are fewer than 2 of each, or they were looked at on different samples. Gives
    ``klom_forget``, ``klom_retain``, ``klom_test``: what 95 % of the samples do not exceed;
    ``klom_forget_mean`` and so on: their mean. In nats, 0-11.5. ``unlearned`` and ``oracles``:
    models that differ in their seeds, at least 2 of each; all of the same split.
    """
    if min(len(unlearned), len(oracles)) < FEWEST_MODELS:
        raise ValueError(
            f"KLoM compares distributions: give at least {FEWEST_MODELS} unlearned models and "
            f"{FEWEST_MODELS} oracles, not {len(unlearned)} and {len(oracles)}"
        )
    found = {}
    for part in PARTS:
        looks = [getattr(one, part) for one in [*unlearned, *oracles]]
        for one in looks:
            check_same_samples(one, looks[0], part)
        margins = torch.stack([one.score("margin") for one in looks])
        values = klom(margins[: len(unlearned)], margins[len(unlearned) :])
        found[f"klom_{part}"] = float(values.quantile(PERCENTILE))
        found[f"klom_{part}_mean"] = float(values.mean())
    return found


def klom(unlearned: Tensor, oracles: Tensor) -> Tensor:
    """KL divergence, by sample, of the margins of unlearned models from those of oracles.

    Margins are clipped to -100..100 and counted in 20 bins of equal width between the least
    and the greatest margin of that sample over all models. Where an unlearned model fell into a
    bin that no oracle fell into, the oracles' chance is taken as 1e-5, and all their chances are
    scaled to sum to 1 again.

    The authors compare 100 models with 100. With few of each it says little: two handfuls of
    oracles seldom fall into the same of 20 bins, and look far apart too. Compare it with what
    oracles reach among themselves. (The authors' program leaves the greatest margin out of its
    histogram; here it is in the last bin.) ValueError if the samples differ in number, or a margin
    is NaN or infinite. Gives float64 of shape (n_samples,), in nats, 0-11.5. ``unlearned`` and
    ``oracles``: margins of shape (n_models, n_samples) and (m_models, n_samples).
    """
    ours, theirs = (
        one.double().clamp(-LARGEST_MARGIN, LARGEST_MARGIN) for one in (unlearned, oracles)
    )
    if ours.ndim != 2 or ours.shape[1:] != theirs.shape[1:]:
        raise ValueError("margins must be of shape (n_models, n_samples), of the same samples")
    both = torch.cat([ours, theirs])
    if bool(both.isnan().any()):
        raise ValueError("margins must be numbers; a model has diverged")
    low, high = both.aminmax(dim=0)
    p, q = _histogram(ours, low, high), _histogram(theirs, low, high)
    floored = q.clamp(min=SMALLEST_CHANCE).where(p > 0, q)
    scale = torch.log1p((floored - q).sum(1))  # exactly 0 where nothing was raised
    terms: Tensor = torch.special.xlogy(p, p / floored.where(p > 0, 1.0))
    return (terms.sum(1) + scale).clamp(min=0)


def _histogram(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Share of the models in each bin, of shape (n_samples, bins); the last bin has its end."""
    width = (high - low) / BINS
    place = ((values - low) / width.where(width > 0, 1.0)).long().clamp(max=BINS - 1).T
    counts = values.new_zeros(values.shape[1], BINS)
    return counts.scatter_add(1, place, torch.ones_like(place, dtype=counts.dtype)) / len(values)
