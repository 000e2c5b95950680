"""What membership attacks say of a model: of its forget set (efficacy), of the rest (privacy).

An attack is fitted on equally many retain (member) and test (non-member) samples.

- Efficacy, ``MIA``: the share of the forget set that it calls non-members. The oracle's is what a
  good method comes near to.
- Privacy, ``MIA_privacy_…``: how often it is right about other retain and test samples that it was
  not fitted on, 50 % being a guess.
- ``MIA_auc`` and the TPRs at low FPRs need no fit: how well the score itself tells the
  forget set from test images of the same classes; 0.5 where forgotten and unseen look alike.

References
----------
Jia et al. (2023), appendix C.3: the five predictors, efficacy and privacy; ``MIA`` is that of
confidence. Song & Mittal (2021), Systematic Evaluation of Privacy Risks of Machine Learning Models,
USENIX Security: the scores; :mod:`mu.evaluation.reductions` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mu.data.images import Indices
from mu.evaluation.attacks.rates import auc_interval, rates, wilson
from mu.evaluation.attacks.svc import ScoreAttack, Scores, shadow_rows
from mu.evaluation.attacks.threshold import ThresholdAttack
from mu.evaluation.outputs import Outputs, SplitOutputs, joined

# Scores of single samples, higher for what looks like a member, in the order of the paper's table:
# each of shape (n_samples,), the last the whole vector of probabilities, (n_samples, n_classes).
SCORES: dict[str, Callable[[Outputs], Tensor]] = {
    "correctness": lambda outputs: outputs.right.double(),
    "confidence": Outputs.confidence,
    "entropy": lambda outputs: outputs.score("entropy"),
    "m_entropy": lambda outputs: outputs.score("modified_entropy"),
    "prob": lambda outputs: outputs.logits.softmax(1),
}
VECTORS = ("prob",)  # those that take whole vectors of logits
MAIN = "confidence"  # whose efficacy is the paper's MIA
SPACED = 1000  # samples that show where its threshold is


@dataclass(frozen=True)
class Attack:
    """One attack, fitted on members and non-members."""

    calls: Callable[[Outputs], NDArray[np.bool_]]  # whether it calls them members, (n_samples,)
    # Higher for what looks like a member, (n_samples,): what AUC and TPR at FPR are of.
    score: Callable[[Outputs], Scores]


Fit = Callable[[Outputs, Outputs], Attack]  # from members and non-members


def called_members(outputs: SplitOutputs, score: str, *, seed: int) -> NDArray[np.bool_]:
    """Whether the attack of that name calls each sample of the forget set a member, (n,)."""
    return ATTACKS[score](*_shadow(outputs, seed)).calls(outputs.forget)


@dataclass(frozen=True, eq=False)
class Calls:
    """What the attack behind ``MIA`` makes of a model's samples."""

    forget: NDArray[np.bool_]  # whether it calls each sample of the forget set a member, (n,)
    # Log-odds of the confidence from which on it calls samples members; None where it is not one
    # threshold that decides, or nothing is called a member.
    threshold: float | None

    @classmethod
    def of(cls, outputs: SplitOutputs, *, seed: int) -> Calls:
        """Fit the attack; the threshold is found on the forget set and on :data:`SPACED` others."""
        others = joined([outputs.retain, outputs.test])
        order = others.score("margin").argsort()
        spaced = torch.linspace(0, len(order) - 1, min(SPACED, len(order))).long()
        asked = joined([outputs.forget, others.select(order[spaced])])
        called = ATTACKS[MAIN](*_shadow(outputs, seed)).calls(asked)
        margins = asked.score("margin").numpy()
        threshold = float(margins[called].min(initial=np.inf))
        decides = np.isfinite(threshold) and bool(called[margins >= threshold].all())
        return cls(called[: len(outputs.forget)], threshold if decides else None)


def efficacy(outputs: SplitOutputs, score: str, *, seed: int) -> float:
    """Share of the forget set that the attack of that name calls non-member, in percent."""
    return 100.0 * float(1 - called_members(outputs, score, seed=seed).mean())


def membership(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """All attacks that need no further models and that the outputs have what it takes for.

    Gives ``MIA`` (confidence), ``MIA_correctness``, ``MIA_entropy``, ``MIA_m_entropy``,
    ``MIA_prob`` and ``MIA_threshold``, in percent, with ``MIA_lo`` and ``MIA_hi``, the 95 %
    interval of ``MIA`` (Wilson); ``MIA_privacy_…`` for each of the six, with the interval of
    ``MIA_privacy_confidence``; ``MIA_auc``, ``MIA_tpr_at_1``, ``MIA_tpr_at_01`` with theirs, as
    :func:`mu.evaluation.attacks.rates.rates` gives them. ``MIA_prob`` and ``MIA_privacy_prob`` are
    left out where a part is too large to keep its logits. ``seed``: draws samples for the attacks
    and for intervals; the split's seed, so that all models of one split are attacked with the same
    samples.
    """
    found = {_name(name): efficacy(outputs, name, seed=seed) for name in _attacks(outputs)}
    found |= _accuracies(_private(outputs, seed))
    found["MIA_lo"], found["MIA_hi"] = wilson(found["MIA"], len(outputs.forget))
    return {**found, **against_unseen(outputs, [MAIN], seed=seed)}


def rates_of_all(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """AUC and TPRs at low FPRs of the same attacks, with their intervals.

    For each attack ``MIA_entropy_auc`` and so on, telling the forget set from unseen images of its
    classes, and ``MIA_privacy_entropy_auc`` and so on, telling held-out retain samples from test
    samples.
    """
    found = against_unseen(outputs, _attacks(outputs), seed=seed)
    for name, (attack, members, others) in _private(outputs, seed).items():
        of_one = rates(attack.score(members), attack.score(others), seed=seed)
        found |= {f"{name}_{rate}": value for rate, value in of_one.items()}
    return found


def against_unseen(outputs: SplitOutputs, names: Iterable[str], *, seed: int) -> dict[str, float]:
    """Rates of some attacks; nothing where no test image is of a class of the forget set."""
    unseen = unseen_of_same_classes(outputs)
    found: dict[str, float] = {}
    if not len(unseen):
        return found
    for name in names:
        attack = ATTACKS[name](*_shadow(outputs, seed))
        of_one = rates(attack.score(outputs.forget), attack.score(unseen), seed=seed)
        found |= {f"{_name(name)}_{rate}": value for rate, value in of_one.items()}
    return found


def fit_auc(outputs: SplitOutputs) -> dict[str, float]:
    """How well the score behind ``MIA`` tells retain from test samples.

    ``MIA_fit_auc``, 0-1, with ``_lo`` and ``_hi``; 0.5 where confidences of both are alike, so that
    no attack by confidence can work, and ``MIA`` says nothing. Of all samples, not of those drawn
    for the attack alone, whose AUC would be less certain.
    """
    members, others = (one.confidence().numpy() for one in (outputs.retain, outputs.test))
    names = ("MIA_fit_auc", "MIA_fit_auc_lo", "MIA_fit_auc_hi")
    return dict(zip(names, auc_interval(members, others), strict=True))


def unseen_of_same_classes(outputs: SplitOutputs) -> Outputs:
    """Test samples of the classes that occur in the forget set."""
    parts = [outputs.test, outputs.test_forgotten]
    known = joined([part for part in parts if part is not None])
    return known.select(torch.isin(known.labels, outputs.forget.labels))


def privacy(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """``MIA_privacy_confidence`` with its interval, as :func:`membership`; nothing of tiny sets."""
    return _accuracies(_private(outputs, seed, {MAIN: ATTACKS[MAIN]}))


def _accuracies(private: Mapping[str, tuple[Attack, Outputs, Outputs]]) -> dict[str, float]:
    """How often each attack is right, with the interval of the main one."""
    found = {name: _accuracy(*pair) for name, pair in private.items()}
    if private:
        name = f"MIA_privacy_{MAIN}"
        held_out = sum(len(part) for part in private[name][1:])
        found[f"{name}_lo"], found[f"{name}_hi"] = wilson(found[name], held_out)
    return found


def _private(
    outputs: SplitOutputs, seed: int, attacks: Mapping[str, Fit] | None = None
) -> dict[str, tuple[Attack, Outputs, Outputs]]:
    """Each attack fitted on one half, and held-out members and non-members; nothing without any."""
    size = min(len(outputs.retain), len(outputs.test)) // 2
    if not size:
        return {}
    draws = np.random.default_rng([seed, 4])
    (retain, held_retain), (test, held_test) = (
        _halves(part, draws.permutation(len(part)), size) for part in (outputs.retain, outputs.test)
    )
    return {
        f"MIA_privacy_{name}": (fit(retain, test), held_retain, held_test)
        for name, fit in (attacks or _attacks(outputs)).items()
    }


def _accuracy(attack: Attack, members: Outputs, others: Outputs) -> float:
    """How often an attack is right about as many members as non-members, in percent."""
    return 50.0 * float(attack.calls(members).mean() + 1 - attack.calls(others).mean())


def _shadow(outputs: SplitOutputs, seed: int) -> tuple[Outputs, Outputs]:
    drawn = shadow_rows(len(outputs.retain), len(outputs.test), seed)
    retain, test = map(torch.from_numpy, drawn)
    return outputs.retain.select(retain), outputs.test.select(test)


def _halves(part: Outputs, order: Indices, size: int) -> tuple[Outputs, Outputs]:
    """The first ``size`` samples in this order, and as many after them."""
    rows = torch.from_numpy(order)
    return part.select(rows[:size]), part.select(rows[size : 2 * size])


def _name(attack: str) -> str:
    return "MIA" if attack == MAIN else f"MIA_{attack}"


def _by_score(score: str, members: Outputs, non_members: Outputs) -> Attack:
    """The support-vector classifier on a score; of a vector, its evidence is the score."""

    def values(outputs: Outputs) -> Scores:
        return np.asarray(SCORES[score](outputs).numpy())

    fitted = ScoreAttack(values(members), values(non_members))
    return Attack(
        calls=lambda outputs: fitted.is_member(values(outputs)),
        score=(lambda outputs: fitted.evidence(values(outputs))) if score in VECTORS else values,
    )


def _by_threshold(members: Outputs, non_members: Outputs) -> Attack:
    fitted = ThresholdAttack(members, non_members)
    return Attack(fitted.is_member, fitted.evidence)


def _attacks(outputs: SplitOutputs) -> dict[str, Fit]:
    """Those of :data:`ATTACKS` for which the outputs have what it takes."""
    return {name: fit for name, fit in ATTACKS.items() if outputs.has_logits or name not in VECTORS}


ATTACKS: dict[str, Fit] = {
    **{score: partial(_by_score, score) for score in SCORES},
    "threshold": _by_threshold,
}
