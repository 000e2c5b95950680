"""The single records of a lira run: their list, the worst of them, and what cannot be told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mu.data.images import ImageDataset
from mu.evaluation.attacks.exposure import FEWEST_NON_MEMBERS, FEWEST_REFERENCES, resolved
from mu.evaluation.records import Records
from mu.tasks.suspects import name_of

RECORDS_FILE = "records.csv"
WORST = 10  # that are shown


def rows_of(parts: Mapping[str, Records], dataset: ImageDataset) -> list[dict[str, Any]]:
    """A row for each training sample under attack: forgotten ones first, the most exposed first.

    Rates of false positives are in percent, and missing where the references show no spread.
    """
    return [
        row for name in ("forget", "retain") if name in parts for row in _rows(parts[name], dataset)
    ]


def _rows(part: Records, dataset: ImageDataset) -> Iterator[dict[str, Any]]:
    labels = dataset.train.labels.numpy()
    memorised, errors = part.memorised
    endings = {"unlearned": "", "original": "_before", "oracle": "_oracle"}
    for rank, place in enumerate(part.order.tolist(), 1):
        number = int(part.samples[place])
        row = {
            "part": part.part,
            "rank": rank,
            "sample": number,
            "file": name_of(dataset, number),
            "class": dataset.classes[labels[number]],
        }
        for model, ending in endings.items():
            if (found := part.exposures.get(model)) is not None:
                for name in ("rate", "low", "high"):
                    end = {"rate": "", "low": "_lo", "high": "_hi"}[name]
                    row[f"fpr{end}{ending}"] = _percent(getattr(found, name)[place])
        row["score"] = f"{part.exposures['unlearned'].deviations[place]:.3f}"
        row["memorisation"] = f"{memorised[place]:.4f}"
        row["memorisation_se"] = f"{errors[place]:.4f}"
        yield row


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def worst(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first forgotten records of :func:`rows_of`; none where their rates are not known."""
    return [row for row in rows[:WORST] if row["part"] == "forget" and row["fpr"] != ""]


def notes_on(parts: Mapping[str, Records], references: int, *, whole_class: bool) -> list[str]:
    """What the numbers cannot say; ``whole_class``: whether one was forgotten as a whole."""
    others = len(parts["unseen"].samples)
    takes = f"it takes {FEWEST_REFERENCES} references and {FEWEST_NON_MEMBERS} test images"
    notes = []
    if not parts["forget"].exposures["unlearned"].known:
        notes.append(
            f"{references} references: each record was left out by one alone, which shows no "
            f"spread, so there are no rates of false positives and no exposed_at_1; {takes}"
        )
    elif not resolved(references, others):
        notes.append(
            f"1 % of false positives cannot be resolved with {references} references and {others} "
            f"test images, so there is no exposed_at_1; {takes}"
        )
    if whole_class:
        notes.append(
            "a whole class was forgotten, and references that were not trained on a record know "
            "its class from others: a network that no longer names the class exposes no record "
            "here, whatever is left in it; how deep it forgot shows in relearn_steps (evaluate)"
        )
    return notes
