"""All of the depth of forgetting: an unlearned model, beside its oracle, against the original."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mu.errors import UserError
from mu.evaluation.case import Case, Model
from mu.evaluation.depth.cka import linear_cka
from mu.evaluation.depth.head import rows_of
from mu.evaluation.depth.probe import probe_accuracy
from mu.evaluation.depth.prototype import prototype_accuracy
from mu.evaluation.depth.relearn import MOST_STEPS, quickest_steps, target
from mu.evaluation.depth.samples import Features, Samples

# Of the oracle by itself; what its run has logged need not be measured again.
OF_FEATURES = ("prototype_acc", "probe_acc")
OF_ORACLE = ("relearn_steps", *OF_FEATURES)
NAMES = ("depth", *OF_ORACLE, "cka_oracle", "cka_original")

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
    """Steps of the model and, where there is one, of its oracle; and their ratio."""
    accuracy = target(original.outputs.forget, case.run)
    batch_size = original.checkpoint.spec.recipe.training.batch_size

    def steps(one: Model) -> float:
        found = quickest_steps(
            one.checkpoint, case.split, case.run, target_accuracy=accuracy, batch_size=batch_size
        )
        return float(MOST_STEPS if found is None else found)

    numbers = {"relearn_steps": steps(case.model)}
    if case.oracle is not None:
        numbers["relearn_steps_oracle"] = (
            steps(case.oracle) if known is None else known["relearn_steps"]
        )
    for name, count in numbers.items():
        if count >= MOST_STEPS:
            case.run.note(f"{name}: not within {MOST_STEPS} steps; that many are given")
    return {**numbers, **_ratio(case, numbers)}


def _ratio(case: Case, steps: Mapping[str, float]) -> Numbers:
    """``depth``, in percent, where the two counts say something about it."""
    if "relearn_steps_oracle" not in steps:
        return {}
    ours, theirs = steps["relearn_steps"], steps["relearn_steps_oracle"]
    if theirs == 0:
        case.run.note(
            "no depth: the oracle needs no steps, since it knows the forget set nearly as well as "
            "the original without having seen it; judge by MIA_auc, js_forget or the entry lira"
        )
        return {}
    if ours >= MOST_STEPS and theirs >= MOST_STEPS:
        case.run.note(f"no depth: neither model nor oracle relearns within {MOST_STEPS} steps")
        return {}
    if max(ours, theirs) >= MOST_STEPS:
        case.run.note(f"depth is a bound, at {'least' if ours >= MOST_STEPS else 'most'} that much")
    return {"depth": 100.0 * ours / theirs}


def _features(case: Case, original: Model, known: Mapping[str, float] | None) -> Numbers:
    """What the features show; nothing where a network has no head whose input they could be."""
    samples = Samples.of(case.split, case.run)

    def seen(one: Model) -> Features:
        return Features.of(one.checkpoint.model, samples, case.run)

    try:
        ours, before = seen(case.model), seen(original).both()
        theirs = None if case.oracle is None else seen(case.oracle)
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
