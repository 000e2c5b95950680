"""What makes a result worth little, in words: a rule each, on numbers alone.

Every warning about a result is here: of the terminal, of a run's description and tag, of ``mu
show`` and of comparisons. A rule gets the numbers as they are logged, and does not judge what is
not there. :mod:`mu.report.comparison.cautions` warns of what only a table can show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mu.run_record import RunRecord
from mu.tags import WEIGHTS

NAN = float("nan")
NONE = "none"  # of the tag: no warning

# % of the retain set that an original must get right for forgetting to be hard. Those of the paper
# are at 99 to 100; one that does not know its data has less to forget than the next seed changes.
FITTED = 97.0
# Points of RA that an oracle may lack. Trainings that differ in their seed, or in a tenth of their
# data, end within a point of each other where they fit; each of these points is in every gap.
ORACLE_LACKS = 3.0
# Points of TA that it may lack: more, since less data costs some, and test sets are small.
ORACLE_TA_LACKS = 5.0
# Points of RA or TA that may be lost: what unlearning may cost by default, 1, and what another
# draw of a few hundred test images does to a difference, 2.
FALLS = 3.0
# The lower end of the AUC (0-1) of confidences of retain and test samples: at 0.5 another draw of
# samples may leave nothing to tell them by; of large sets an AUC of 0.515 is no more use.
TELLS = 0.51
GUESS = 50.0  # % of held-out retain and test samples that guessing tells right
# Points above that are near it, where the interval includes it: of a few hundred test images the
# interval of any attack does.
NEAR = 3.0
MISSED = 50.0  # % of the forget set that the attack may call non-members while all are members
# Points between the ends of the 95 % interval of MIA: of 5 samples, or of 20 if half are found.
WIDEST = 40.0


@dataclass(frozen=True)
class Result:
    """The numbers of one unlearning, each by the name that it is logged under."""

    unlearned: Mapping[str, float]
    original: Mapping[str, float]
    oracle: Mapping[str, float] = field(default_factory=dict)
    retrained: bool = False  # whether the unlearned network is an oracle itself
    unchanged: bool = False  # whether all of its weights are the original's
    floor: float = NAN  # mean gap between its oracles that differ in their seed alone, in points


class Alarm(NamedTuple):
    """A warning about a result."""

    rule: str  # its name in the tag
    beyond: float  # how far the threshold is passed; the more, the graver
    text: str  # values, what they mean, and what to do


Found = tuple[float, str] | None


def alarms(result: Result) -> list[Alarm]:
    """What must be known before the result is trusted, in the order of :data:`RULES`."""
    found = ((name, rule(result)) for name, rule in RULES.items())
    return [Alarm(name, *one) for name, one in found if one is not None]


def alarms_of(run: RunRecord, oracle: Mapping[str, float]) -> list[Alarm]:
    """The warnings about a finished unlearning, from what was logged; none about other runs.

    ``oracle``: the numbers of its oracle, empty where there is none.
    """
    before, weights = of_original(run.metrics), run.tags.get(WEIGHTS)
    upstream = run.upstream.tags.get(WEIGHTS) if run.upstream else None
    same = bool(before) and weights is not None and weights == upstream
    return alarms(Result(run.metrics, before, oracle, retrained=run.is_oracle, unchanged=same))


def of_original(metrics: Mapping[str, float]) -> dict[str, float]:
    """The original's numbers among those of a run that unlearned it."""
    return with_ending("_before", metrics)


def with_ending(ending: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Numbers of another model among those of a run, by their names without the ending."""
    return {n.removesuffix(ending): v for n, v in metrics.items() if n.endswith(ending)}


def tag_of(found: Sequence[Alarm]) -> str:
    """Names of the rules as the tag has them: ``oracle_fit,accuracy``, or ``none``."""
    return ",".join(one.rule for one in found) or NONE


def texts(found: Sequence[Alarm]) -> list[str]:
    """The sentences alone."""
    return [one.text for one in found]


def gravest(found: Mapping[str, Sequence[Alarm]]) -> list[str]:
    """A sentence for each rule that applies: of the run where it is gravest.

    ``found``: by run ID.
    """
    sentences = []
    for rule in RULES:
        own = [(one, run_id) for run_id, its in found.items() for one in its if one.rule == rule]
        if own:
            worst, run_id = max(own, key=lambda pair: pair[0].beyond)
            more = f" and {len(own) - 1} more" if len(own) > 1 else ""
            sentences.append(f"{worst.text} (run {run_id}{more})")
    return sentences


# --- rules --------------------------------------------------------------------------------


def _oracle_fit(result: Result) -> Found:
    """An oracle that fits its data worse than the original did is no measure."""
    judge = result.unlearned if result.retrained else result.oracle
    name, most = "RA", ORACLE_LACKS
    if not _of(result.original, name) - _of(judge, name) > most:
        name, most = "TA", ORACLE_TA_LACKS
    its, before = _of(judge, name), _of(result.original, name)
    if not before - its > most:
        return None
    where = " on its training data" if name == "RA" else ""
    unless = "" if name == "RA" else " (unless the forget set is much of all data)"
    gap = _of(result.unlearned, "gap")
    means = "a gap to it says" if math.isnan(gap) else f"the gap of {gap:.1f} points says"
    return before - its - most, (
        f"the oracle has {name} {its:.1f} %{where}, the original {before:.1f} %: it was not "
        f"trained as well as the original{unless}, so {means} little; give the recipe that the "
        "original really had (epochs, lr, augment, mean and std of mu import), or make an oracle "
        "with another seed (method=retrain seed=1)"
    )


def _original_fit(result: Result) -> Found:
    """An under-fitted original forgets by itself."""
    before = _of(result.original, "RA")
    if not before < FITTED:
        return None
    return FITTED - before, (
        f"the original does not fit its training data (RA {before:.1f} %, below {FITTED:g} %): an "
        "under-fitted original forgets by itself, so small gaps say little; train it longer "
        "(epochs), or check the arch, mean and std that it was imported with"
    )


def _accuracy(result: Result) -> Found:
    """Accuracy is lost that was not to be forgotten; where the oracle lost it too, it was."""
    if result.retrained:  # an oracle is judged by the first rule
        return None
    fits = _oracle_fit(result) is None  # else its own loss is no excuse
    falls = {}
    for name in ("RA", "TA"):
        before, after, its = (
            _of(one, name) for one in (result.original, result.unlearned, result.oracle)
        )
        excused = fits and before - its >= (before - after) / 2
        if before - after > FALLS and not excused:
            falls[name] = before - after
    if not falls:
        return None
    words = " and ".join(
        f"{name} fell from {result.original[name]:.1f} to {result.unlearned[name]:.1f} %"
        + (f" (the oracle has {result.oracle[name]:.1f} %)" if name in result.oracle else "")
        for name in falls
    )
    return max(falls.values()) - FALLS, (
        f"{words}: the network lost more than what it was to forget; take gentler settings (a "
        "smaller max_accuracy_drop, alpha or lr), or more epochs for methods that train"
    )


def _attack(result: Result) -> Found:
    """Where the attack fails on the original already, or on this network, MIA says nothing."""
    auc, low, high = (_of(result.original, f"MIA_fit_auc{end}") for end in ("", "_lo", "_hi"))
    missed = _of(result.original, "MIA")
    right, least, most = (
        _of(result.unlearned, f"MIA_privacy_confidence{end}") for end in ("", "_lo", "_hi")
    )
    where, beyond = "even on the original", max(0.0, missed - MISSED)
    if low < TELLS:
        beyond = max(beyond, 100 * (TELLS - low))
        why = (
            f"confidences of retain and test samples have an AUC of {auc:.2f}, {low:.2f} to "
            f"{high:.2f}, and 0.5 is chance"
        )
    elif missed > MISSED:
        why = f"it calls {missed:.1f} % of the forget set non-members, and all are members"
    elif least <= GUESS and right < GUESS + NEAR:
        where, beyond = "of this network", GUESS - least
        why = (
            f"it tells {right:.1f} % of held-out retain and test samples right, {least:.1f} to "
            f"{most:.1f} %, and {GUESS:g} % is chance"
        )
    else:
        return None
    return beyond, (
        f"the attack behind MIA cannot tell members from non-members {where} ({why}), so MIA and "
        "its part of the gap say nothing here; judge by UA, by js_forget and relearn_steps "
        "(mlflow run . -e evaluate -P metrics=all), or by the entry lira"
    )


def _forget_set(result: Result) -> Found:
    """A forget set so small that its shares may be nearly anything."""
    value, low, high = (_of(result.unlearned, name) for name in ("MIA", "MIA_lo", "MIA_hi"))
    if not high - low > WIDEST:
        return None
    return high - low - WIDEST, (
        f"the forget set is too small: its MIA of {value:.1f} % has the 95 % interval {low:.1f} to "
        f"{high:.1f} %, and UA is as uncertain; forget more samples, or repeat with other ones "
        "and average"
    )


def _unchanged(result: Result) -> Found:
    """The method did nothing."""
    if not result.unchanged or result.retrained:
        return None
    return 1.0, (
        "the method left all weights as they were, so these are the original's numbers; give it "
        "more to do (a larger max_accuracy_drop, alpha, lr or epochs), or take another method"
    )


def _oracles_apart(result: Result) -> Found:
    """A gap that is within the chance of the oracle's seed."""
    gap = _of(result.unlearned, "gap")
    if not gap < result.floor:
        return None
    return result.floor - gap, (
        f"oracles that differ in their seed alone are {result.floor:.2f} points apart, more than "
        f"the gap of {gap:.2f}: this network cannot be told from an oracle, and being nearer "
        "to this one means nothing"
    )


RULES: Final[Mapping[str, Callable[[Result], Found]]] = {
    "oracle_fit": _oracle_fit,
    "original_fit": _original_fit,
    "accuracy": _accuracy,
    "attack": _attack,
    "forget_set": _forget_set,
    "unchanged": _unchanged,
    "oracles_apart": _oracles_apart,
}


def _of(numbers: Mapping[str, float], name: str) -> float:
    """A number, NaN where there is none: no comparison with it is true."""
    return numbers.get(name, NAN)
