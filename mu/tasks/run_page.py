"""The page of an unlearning: what it shows is taken from outputs that are there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from mu.data.images import ImageDataset, Indices, Subset
from mu.errors import UserError
from mu.evaluation.by_class import confusion, whole_test
from mu.evaluation.case import Case, Model
from mu.evaluation.distance.weights import layer_distances
from mu.evaluation.embedding import embed
from mu.evaluation.known import as_sure, best_known, most_changed
from mu.evaluation.membership import Calls, unseen_of_same_classes
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.evaluation.score_counts import ScoreCounts
from mu.report.alarms import texts
from mu.report.plots import drawable
from mu.report.prose import what_was_done, without_oracle
from mu.report.run_page.facts import Pixels, Points, Records, RunFacts
from mu.tasks.outputs import about, links
from mu.tasks.problem import Unlearned
from mu.tasks.suspects import name_of

# Records that are shown: the best known of the forget set, others at even distances below them,
# and those of the retain set that changed most.
BEST_KNOWN, SPACED, CHANGED = 100, 50, 50


def facts_of(done: Unlearned, case: Case, rows: Mapping[str, Mapping[str, float]]) -> RunFacts:
    """What the page shows of an unlearning; the case is that of its depth."""
    task, problem, split = done.task, done.task.problem, case.split
    models = models_of(case)
    outputs = {role: one.outputs for role, one in models.items()}
    calls = {role: Calls.of(one, seed=case.seed) for role, one in outputs.items()}
    points, why = _points(case)
    method, labels = task.name, split.dataset.train.labels.numpy()[split.forget]
    asked = (method, problem.forget, split, about(problem.checkpoint), done.metrics["RTE"])
    return RunFacts(
        title=task.title,
        run_id=done.run_id,
        links=links(problem.run_id, done.run_id, done.oracle.run_id if done.oracle else None),
        asked=what_was_done(*asked),
        asked_for=problem.forget,
        came=f"Verdict: {done.verdict.text}." if done.verdict else without_oracle(method),
        warnings=texts(done.alarms),
        notes=done.run.notes,
        method=method,
        rows=rows,
        metrics=done.metrics,
        classes=split.dataset.classes,
        forgotten=split.forgotten_classes,
        of_forget=np.bincount(labels, minlength=len(split.dataset.classes)),
        confusions={role: confusion(whole_test(one)) for role, one in outputs.items()},
        scores=ScoreCounts.of(outputs),
        thresholds={role: one.threshold for role, one in calls.items()},
        points=points,
        no_points=why,
        layers=_layers(case),
        forget=_forgotten(case, outputs, calls["unlearned"]),
        retain=_retained(case, outputs),
    )


def models_of(case: Case) -> dict[str, Model]:
    """The models of a case by their roles on the page."""
    models = {"original": case.original, "unlearned": case.model, "oracle": case.oracle}
    return {role: model for role, model in models.items() if model is not None}


def _forgotten(case: Case, outputs: Mapping[str, SplitOutputs], calls: Calls) -> Records:
    """Records of the forget set, the best known first."""
    after = outputs["unlearned"]
    margins = after.forget.score("margin").numpy()
    order = best_known(margins, BEST_KNOWN, SPACED)
    unseen = unseen_of_same_classes(after)
    others = unseen.score("margin").numpy()
    ranks = np.argsort(np.argsort(-margins, kind="stable"))[order] + 1
    found = _records(case, case.split.forget, order, {r: one.forget for r, one in outputs.items()})
    sure = as_sure(margins[order], others) if len(others) else None
    return replace(found, ranks=ranks, member=calls.forget[order], as_sure=sure)


def _retained(case: Case, outputs: Mapping[str, SplitOutputs]) -> Records:
    """Records of the retain set, those that changed most first."""
    parts = {role: one.retain for role, one in outputs.items()}
    before, after = (parts[role].confidence().numpy() for role in ("original", "unlearned"))
    return _records(case, case.split.retain, most_changed(before, after, CHANGED), parts)


def _records(case: Case, part: Indices, order: Indices, outputs: Mapping[str, Outputs]) -> Records:
    """The records at some places of a part of the split."""
    dataset, numbers = case.split.dataset, part[order]
    return Records(
        total=len(part),
        ranks=np.arange(1, len(order) + 1),
        numbers=numbers,
        labels=dataset.train.labels.numpy()[numbers],
        published=dataset.published_labels.numpy()[numbers],
        answers={role: one.predictions.numpy()[order] for role, one in outputs.items()},
        confidence={role: one.confidence().numpy()[order] for role, one in outputs.items()},
        member=None,
        as_sure=None,
        files=[name_of(dataset, int(number)) for number in numbers],
        images=pictures(dataset, numbers),
    )


def pictures(dataset: ImageDataset, numbers: Indices) -> list[Pixels]:
    """Training images as the networks see them."""
    return list(map(drawable, dataset.train.fetch(torch.from_numpy(numbers))))


def _points(case: Case) -> tuple[Points | None, str]:
    """The embedding, or why there is none."""
    original = case.original
    assert original is not None
    try:
        features = [case.features(one) for one in (original, case.model)]
    except UserError as error:
        return None, str(error)
    before, after = (torch.cat([one.both(), one.unseen]) for one in features)
    if not bool(torch.isfinite(torch.cat([before, after])).all()):
        return None, "a feature is NaN or infinite"
    groups = _groups(case)
    return Points(
        embedding=embed(before, after),
        parts=[part for part, one, _ in groups for _ in range(len(one))],
        numbers=np.concatenate([one.indices for _, one, _ in groups]),
        labels=np.concatenate([one.labels.numpy() for _, one, _ in groups]),
        answers={
            role: np.concatenate([_answers(one.outputs, *group) for group in groups])
            for role, one in models_of(case).items()
            if role != "oracle"
        },
        totals={part: len(whole) for part, _, whole in groups},
    ), ""


def _groups(case: Case) -> list[tuple[str, Subset, Subset]]:
    """What features were taken of, part by part, and all samples of that part."""
    samples, split = case.samples, case.split
    found = [
        ("forget", samples.forgotten, split.forget_set),
        ("retain", samples.retained, split.retain_set),
        ("unseen", samples.unseen, split.test_forgotten_set),
    ]
    return [one for one in found if len(one[1])]


def _answers(outputs: SplitOutputs, part: str, drawn: Subset, whole: Subset) -> Indices:
    """A model's predictions for the samples that were drawn from a part."""
    of_part = outputs.parts()["test_forgotten" if part == "unseen" else part]
    order = np.argsort(whole.indices)
    places = order[np.searchsorted(whole.indices, drawn.indices, sorter=order)]
    return np.asarray(of_part.predictions.numpy()[places])


def _layers(case: Case) -> dict[str, dict[str, float]]:
    """How far each layer moved away from the original, by role; of what has its architecture."""
    assert case.original is not None
    before, found = case.original.checkpoint.model, {}
    for role, one in models_of(case).items():
        if role != "original":
            found[role] = layer_distances(one.checkpoint.model, before)
    return found
