"""All of the depth of forgetting: an unlearned model, beside its oracle, against the original."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mu.errors import UserError
from mu.evaluation.case import Case, Model
from mu.evaluation.controls import LOGIT_MASK
from mu.evaluation.depth.cka import linear_cka
from mu.evaluation.depth.head import rows_of, with_rows_anew
from mu.evaluation.depth.probe import probe_accuracy
from mu.evaluation.depth.prototype import prototype_accuracy
from mu.evaluation.depth.relearn import FEWEST_STEPS, MOST_STEPS, RATES, Relearning
from mu.evaluation.depth.samples import Features, Samples

# Of the oracle by itself; what its run has logged need not be measured again.
OF_FEATURES = ("prototype_acc", "probe_acc")
OF_ORACLE = ("relearn_steps", "relearn_lr", *OF_FEATURES)
MASKED = f"depth_{LOGIT_MASK}"
NAMES = ("depth", MASKED, *OF_ORACLE, "cka_oracle", "cka_original")
DEEPEST = 4  # times the oracle's steps, after which nobody counts any more

Numbers = dict[str, float]


def depth(case: Case, known: Mapping[str, float] | None = None) -> Numbers:
    """``relearn_steps``, ``depth``, ``prototype_acc``, ``probe_acc``, ``cka_original``, ...

    Where the case has an oracle, also its numbers, with ``_oracle``, and ``cka_oracle``. Samples
    and their order are drawn by the seed of the case's run, so that all models of a split are
    measured alike. What cannot be measured is not there, and a note of the run says why. No model
    of the case is changed. ValueError if the case has no original.

    ``known``: numbers of the oracle that are not to be measured again, by the names of
    :data:`OF_ORACLE`; those that it lacks, where it has any, do not exist.
    """
    if case.original is None:
        raise ValueError("the depth of forgetting is measured against the original; give it")
    return {**_relearning(case, case.original, known), **_features(case, case.original, known)}


def _relearning(case: Case, original: Model, known: Mapping[str, float] | None) -> Numbers:
    """Steps of the model and, where there is one, of its oracle; and their ratio.

    Steps of a smaller rate than usual are given as what they are of usual ones.
    """
    how = Relearning.of(original, case.split, case.run)
    if case.oracle is None:
        ours, lr = how.fine(case.model.checkpoint)
        return _steps(case, lr, {"relearn_steps": (ours, MOST_STEPS)})
    if known is None:
        theirs, lr = how.fine(case.oracle.checkpoint)
    else:
        lr = known["relearn_lr"]
        counted = round(known["relearn_steps"] * RATES[0] / lr)
        theirs = None if counted >= MOST_STEPS else counted
    most = min(MOST_STEPS, DEEPEST * theirs) if theirs else MOST_STEPS
    ours = how.quickest(case.model.checkpoint, lr, most)
    counts = {"relearn_steps": (ours, most), "relearn_steps_oracle": (theirs, MOST_STEPS)}
    numbers = _steps(case, lr, counts)
    if not _tells(case, ours, theirs):
        return numbers
    of_oracle = MOST_STEPS if theirs is None else theirs
    numbers["depth"] = 100.0 * (most if ours is None else ours) / of_oracle
    masked = with_rows_anew(original.checkpoint, case.split.forgotten_classes)
    if masked is not None:
        # All that a hidden output takes: pushed as far down, it does not come back by itself.
        back = how.steps(masked, lr, most)
        numbers[MASKED] = 100.0 * (most if back is None else back) / of_oracle
    return numbers


def _steps(case: Case, lr: float, counts: Mapping[str, tuple[int | None, int]]) -> Numbers:
    """Counts of steps as they are logged; a note about those that are not known to the end.

    ``counts``: by name, how many, and how many would have been counted.
    """
    numbers = {"relearn_lr": lr}
    for name, (count, most) in counts.items():
        numbers[name] = (most if count is None else count) * lr / RATES[0]
        if count is None:
            case.run.note(f"{name}: not within {numbers[name]:g} steps; that many are given")
    return numbers


def _tells(case: Case, ours: int | None, theirs: int | None) -> bool:
    """Whether two counts say how deep a network has forgotten; a note if not, or not quite."""
    if theirs is not None and theirs < FEWEST_STEPS:
        case.run.note(
            "no depth: the oracle needs no steps, or next to none, since it knows the forget set "
            "nearly as well as the original without having seen it; judge by MIA_auc, js_forget or "
            "the entry lira"
        )
        return False
    if ours is None and theirs is None:
        case.run.note(f"no depth: neither model nor oracle relearns within {MOST_STEPS} steps")
        return False
    if ours is None or theirs is None:
        case.run.note(f"depth is a bound, at {'least' if ours is None else 'most'} that much")
    return True


def _features(case: Case, original: Model, known: Mapping[str, float] | None) -> Numbers:
    """What the features show; nothing where a network has no head whose input they could be."""
    samples = case.samples
    try:
        ours, before = case.features(case.model), case.features(original).both()
        theirs = None if case.oracle is None else case.features(case.oracle)
    except UserError as error:
        case.run.note(f"no prototype_acc, probe_acc and cka: {error}")
        return {}
    numbers = {
        **_accuracies(case.model, ours, samples),
        "cka_original": linear_cka(ours.both(), before),
    }
    if case.oracle is not None and theirs is not None:
        own = _accuracies(case.oracle, theirs, samples) if known is None else known
        numbers |= {f"{name}_oracle": own[name] for name in OF_FEATURES if name in own}
        numbers["cka_oracle"] = linear_cka(ours.both(), theirs.both())
    return _told(case, samples, numbers)


def _accuracies(one: Model, features: Features, samples: Samples) -> Numbers:
    """``probe_acc`` and, where a class is forgotten as a whole, ``prototype_acc``."""
    head = rows_of(one.checkpoint)
    numbers = {"probe_acc": probe_accuracy(features, samples)}
    if head is not None and samples.whole:
        numbers["prototype_acc"] = prototype_accuracy(head, features, samples)
    return numbers


def _told(case: Case, samples: Samples, numbers: Numbers) -> Numbers:
    """The numbers that are some; a note about the others."""
    lost = sorted(name for name, value in numbers.items() if math.isnan(value))
    if lost:
        why = (
            "all samples have the same features"
            if any(name.startswith("cka") for name in lost)
            else f"there are no test images of class {samples.whole[0]}"
        )
        case.run.note(f"no {', '.join(lost)}: {why}")
    return {name: value for name, value in numbers.items() if name not in lost}
