"""What the page of an unlearning shows, as numbers and texts; nothing here is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mu.data.images import Indices
from mu.evaluation.embedding import Embedding
from mu.evaluation.score_counts import ScoreCounts

ROLES = ("original", "unlearned", "oracle")
Numbers = NDArray[np.float64]
Pixels = NDArray[np.uint8]  # (height, width), or (height, width, 3)


@dataclass(frozen=True, eq=False)
class Records:
    """Some training samples, as models see them; arrays of shape (n_records,)."""

    total: int  # of how many they are chosen
    ranks: Indices  # places among these, from 1, by what they are ordered by
    numbers: Indices  # sample numbers
    labels: Indices  # as the original was trained on
    published: Indices  # as published: others where labels were planted
    answers: Mapping[str, Indices]  # predictions by role
    confidence: Mapping[str, Numbers]  # probability of the label by role, 0-1
    member: NDArray[np.bool_] | None  # whether the attack calls them members, where that is known
    as_sure: Numbers | None  # of how many unseen images (%) the unlearned model is as sure
    files: Sequence[str]  # their names, or empty
    images: Sequence[Pixels]  # of as many of the first as there are

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, eq=False)
class Points:
    """The samples of an embedding; arrays of shape (n_samples,)."""

    embedding: Embedding
    parts: Sequence[str]  # forget, retain or unseen
    numbers: Indices  # of the training samples, or of the test images
    labels: Indices
    answers: Mapping[str, Indices]  # predictions of original and unlearned
    totals: Mapping[str, int]  # of how many samples of each part these are drawn


@dataclass(frozen=True, eq=False, kw_only=True)
class RunFacts:
    """An unlearning beside its original and, where there is one, its oracle."""

    title: str
    run_id: str
    links: Mapping[str, str]  # run IDs by role
    asked: str  # in a sentence
    asked_for: str  # the forget set, as it was requested
    came: str  # in a sentence: the verdict, or why there is none
    warnings: Sequence[str]
    notes: Sequence[str]
    method: str
    rows: Mapping[str, Mapping[str, float]]  # numbers of models and controls, by label
    metrics: Mapping[str, float]  # all of the run
    classes: Sequence[str]
    forgotten: Sequence[int]  # classes that are forgotten as a whole
    of_forget: NDArray[np.int64]  # samples of the forget set by class, (n_classes,)
    confusions: Mapping[str, NDArray[np.int64]]  # of test images by role
    scores: ScoreCounts  # by role
    thresholds: Mapping[str, float | None]  # of the attack behind MIA by role, log-odds
    points: Points | None
    no_points: str = ""  # why there are none
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # moved, by role
    forget: Records
    retain: Records
