"""A request's list: whose records, and what each of them is in a data set and to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mu.data.images import ImageDataset, Indices
from mu.data.lists import Entry
from mu.data.splits import Split
from mu.spec import Spec

Status = Literal["trained", "validation", "left_out", "test", "forgotten", "unknown"]


@dataclass(frozen=True)
class Record:
    """One image that a request names, or what names none."""

    subject: str  # whose it is; empty where the list does not say
    # text, line: what names it, and where that stands in the list.
    text: str
    line: int
    number: int | None  # its sample number; None of a test image, and of what is unknown
    file: str | None  # its name, where the data set has files
    status: Status
    note: str = ""  # what else is to be said: listed twice, which test image it is, why unknown


def read_request(file: Path, subject: str | None = None) -> list[Entry]:
    """The entries of a request, each once; those of one ``subject``, where one is given."""
    raise NotImplementedError


def resolve(entries: Sequence[Entry], dataset: ImageDataset, spec: Spec) -> list[Record]:
    """What each entry is to the model with this spec: one record, or several of a pattern."""
    raise NotImplementedError


def trained_numbers(records: Sequence[Record]) -> Indices:
    """The sample numbers that the model was trained on, each once, sorted."""
    raise NotImplementedError


def refuse_nothing_to_do(records: Sequence[Record]) -> None:
    """UserError where no record was trained on; it counts them by their status."""
    raise NotImplementedError


def refuse_everything(numbers: Indices, split: Split) -> None:
    """UserError where the numbers are all that the model was trained on."""
    raise NotImplementedError
