"""What the page shows of classes: which of them, their accuracy, the confusion among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mu.evaluation.by_class import class_accuracy, row_shares
from mu.report.run_page.facts import RunFacts

MOST = 20  # of which a table of confusion can still be read
LONGEST = 40  # letters of a name


@dataclass(frozen=True)
class ClassRow:
    """A class, and how models do on its test images."""

    name: str
    forgotten: int  # samples of the forget set
    whole: bool  # whether none of it is retained
    tested: int  # test images
    accuracy: Mapping[str, float | None]  # percent by role; None without test images


@dataclass(frozen=True)
class Matrix:
    """The confusion of one model among the classes that are shown."""

    role: str
    # By true class: share in percent of each prediction, and how many images that are.
    rows: Sequence[Sequence[tuple[float, int]]]


def short(name: str) -> str:
    """A class name that is not longer than a page can show."""
    one_line = " ".join(name.split()) or "(no name)"
    return one_line if len(one_line) <= LONGEST else f"{one_line[: LONGEST - 1]}\u2026"


def shown_classes(facts: RunFacts) -> list[int]:
    """All classes, or else those of the forget set and those whose accuracy changed most."""
    count = len(facts.classes)
    if count <= MOST:
        return list(range(count))
    before, after = (class_accuracy(facts.confusions[r]) for r in ("original", "unlearned"))
    change = np.nan_to_num(np.abs(after - before))
    order = np.lexsort((np.arange(count), -change, -facts.of_forget))
    return sorted(order[:MOST].tolist())


def class_rows(facts: RunFacts, shown: Sequence[int]) -> list[ClassRow]:
    """The classes that are shown."""
    accuracies = {role: class_accuracy(one) for role, one in facts.confusions.items()}
    tested = next(iter(facts.confusions.values())).sum(1)
    return [
        ClassRow(
            short(facts.classes[label]),
            int(facts.of_forget[label]),
            label in facts.forgotten,
            int(tested[label]),
            {role: _number(one[label]) for role, one in accuracies.items()},
        )
        for label in shown
    ]


def matrices(facts: RunFacts, shown: Sequence[int]) -> list[Matrix]:
    """The confusion of each model; shares are of all predictions, shown or not."""
    found = []
    for role, counts in facts.confusions.items():
        shares = row_shares(counts)
        rows = [[(float(shares[i, j]), int(counts[i, j])) for j in shown] for i in shown]
        found.append(Matrix(role, rows))
    return found


def _number(value: NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)
