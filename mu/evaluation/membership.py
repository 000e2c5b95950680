"""What membership attacks say of a model: of its forget set (efficacy), of the rest (privacy).

An attack is fitted on equally many retain (member) and test (non-member) samples.

- Efficacy, ``MIA``: the share of the forget set that it calls non-members. The oracle's is what a
  good method comes near to.
- Privacy, ``MIA_privacy_…``: how often it is right about other retain and test samples that it was
  not fitted on, 50 % being a guess.
- ``MIA_auc`` and the rates of true positives need no fit: how well the score itself tells the
  forget set from test images of the same classes; 0.5 where forgotten and unseen look alike.

References
----------
Jia et al. (2023), appendix C.3: the five predictors, efficacy and privacy; ``MIA`` is that of
confidence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from mu.data.images import Indices
from mu.evaluation.attacks.rates import LEVEL, rates
from mu.evaluation.attacks.svc import ScoreAttack, Scores, shadow_rows
from mu.evaluation.attacks.threshold import ThresholdAttack
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.evaluation.scores import SCORES

MAIN = "confidence"  # whose efficacy is the paper's MIA


def called_members(outputs: SplitOutputs, score: str, *, seed: int) -> NDArray[np.bool_]:
    """Whether the attack on this score calls each sample of the forget set a member, (n,)."""
    retain, test = _shadow(outputs, seed)
    attack = ScoreAttack(_of(retain, score), _of(test, score))
    return attack.is_member(_of(outputs.forget, score))


def efficacy(outputs: SplitOutputs, score: str, *, seed: int) -> float:
    """Share of the forget set that the attack on this score calls non-member, in percent."""
    return 100.0 * float(1 - called_members(outputs, score, seed=seed).mean())


def membership(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """All attacks that need no further models.

    Parameters
    ----------
    seed
        Draws samples for the attacks and for intervals; the split's seed, so that all models of
        one split are attacked with the same samples.

    Returns
    -------
    dict
        ``MIA`` (confidence), ``MIA_correctness``, ``MIA_entropy``, ``MIA_m_entropy``,
        ``MIA_prob`` and ``MIA_threshold``, in percent, with ``MIA_lo`` and ``MIA_hi``, the 95 %
        interval of ``MIA`` (Wilson); ``MIA_privacy_…`` for each of the six; ``MIA_auc``,
        ``MIA_tpr_at_1``, ``MIA_tpr_at_01`` with their intervals, as
        :func:`mu.evaluation.attacks.rates.rates` gives them.
    """
    found = {
        **{_name(score): efficacy(outputs, score, seed=seed) for score in SCORES},
        "MIA_threshold": _threshold_efficacy(outputs, seed),
        **_privacy(outputs, seed),
    }
    count = len(outputs.forget)
    interval = binomtest(round(found["MIA"] * count / 100), count).proportion_ci(LEVEL, "wilson")
    found |= {"MIA_lo": 100 * float(interval.low), "MIA_hi": 100 * float(interval.high)}
    return {**found, **against_unseen(outputs, seed=seed)}


def against_unseen(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """``MIA_auc`` and rates of true positives; nothing where no test image has such a class."""
    unseen = unseen_of_same_classes(outputs)
    if not len(unseen):
        return {}
    found = rates(_of(outputs.forget, MAIN), _of(unseen, MAIN), seed=seed)
    return {f"MIA_{name}": value for name, value in found.items()}


def unseen_of_same_classes(outputs: SplitOutputs) -> Outputs:
    """Test samples of the classes that occur in the forget set."""
    parts = [outputs.test, outputs.test_forgotten]
    known = Outputs(
        torch.cat([part.logits for part in parts if part is not None]),
        torch.cat([part.labels for part in parts if part is not None]),
    )
    return known.select(torch.isin(known.labels, outputs.forget.labels))


def _privacy(outputs: SplitOutputs, seed: int) -> Mapping[str, float]:
    """How often each attack is right about held-out samples, in percent; nothing without any."""
    size = min(len(outputs.retain), len(outputs.test)) // 2
    if not size:
        return {}
    draws = np.random.default_rng([seed, 4])
    (retain, held_retain), (test, held_test) = (
        _halves(part, draws.permutation(len(part)), size) for part in (outputs.retain, outputs.test)
    )
    found = {}
    for score in SCORES:
        attack = ScoreAttack(_of(retain, score), _of(test, score))
        found[score] = (
            attack.is_member(_of(held_retain, score)).mean(),
            attack.is_member(_of(held_test, score)).mean(),
        )
    by_class = ThresholdAttack(retain, test)
    found["threshold"] = (
        by_class.is_member(held_retain).mean(),
        by_class.is_member(held_test).mean(),
    )
    return {
        f"MIA_privacy_{name}": 50.0 * float(member + 1 - other)
        for name, (member, other) in found.items()
    }


def _threshold_efficacy(outputs: SplitOutputs, seed: int) -> float:
    attack = ThresholdAttack(*_shadow(outputs, seed))
    return 100.0 * float(1 - attack.is_member(outputs.forget).mean())


def _shadow(outputs: SplitOutputs, seed: int) -> tuple[Outputs, Outputs]:
    """Equally many retain and test samples."""
    retain, test = shadow_rows(len(outputs.retain), len(outputs.test), seed)
    return outputs.retain.select(torch.from_numpy(retain)), outputs.test.select(
        torch.from_numpy(test)
    )


def _halves(part: Outputs, order: Indices, size: int) -> tuple[Outputs, Outputs]:
    """The first ``size`` samples in this order, and as many after them."""
    rows = torch.from_numpy(order)
    return part.select(rows[:size]), part.select(rows[size : 2 * size])


def _of(outputs: Outputs, score: str) -> Scores:
    return np.asarray(SCORES[score](outputs).numpy())


def _name(score: str) -> str:
    return "MIA" if score == MAIN else f"MIA_{score}"
