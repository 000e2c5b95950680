"""A request's list: whose records, and what each of them is in a data set and to a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mu.data.images import ImageDataset, Indices
from mu.data.lists import NUMBER, SHA256, SHOWN, SUBJECT_COLUMN, Entry, read_names
from mu.data.lookup import Names
from mu.data.splits import Split
from mu.erasure.pixels import pixel_digests, published
from mu.errors import UserError, unknown
from mu.readers.paths import checked_path
from mu.spec import Spec

Status = Literal["trained", "validation", "left_out", "test", "forgotten", "unknown"]
PARTS = ("train", "test")


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
    test: int | None = None  # number of a test image among these

    @property
    def called(self) -> str:
        """What a record that is no training image is called: a test image as such, not as named."""
        return self.text if self.test is None else self.file or f"test image {self.test}"


# --- the list -----------------------------------------------------------------------------


def read_request(file: Path, subject: str | None = None) -> list[Entry]:
    """The entries of a request, each once; those of one ``subject``, where one is given.

    The file is csv with the columns ``subject`` and ``record`` (or another of
    :data:`mu.data.lists.COLUMNS`), or a list as ``files:`` and ``indices:`` of a forget set take
    it, which names no subjects. UserError if it is missing or lists nothing, its columns are
    unknown, or it does not know the subject.
    """
    entries = read_names(checked_path("records", file), "records", numbers=True)
    if subject is not None:
        known = {one.subject for one in entries if one.subject}
        if not known:
            raise UserError(
                f"subject={subject!r}: {str(file)!r} does not say whose its records are; leave "
                f"subject out, or add a column {SUBJECT_COLUMN}"
            )
        if subject not in known:
            raise unknown("subject", subject, known)
        entries = [one for one in entries if one.subject == subject]
    found: dict[tuple[str, str], Entry] = {}
    for one in entries:
        first = found.setdefault(key := (one.subject, one.text), one)
        if first is not one:
            found[key] = replace(first, again=(*first.again, one.line))
    return list(found.values())


# --- what each record is ------------------------------------------------------------------


def resolve(entries: Sequence[Entry], dataset: ImageDataset, spec: Spec) -> list[Record]:
    """What each entry is to the model with this spec: one record, or several of a pattern.

    An entry is a sample number, the sha256 of a file's bytes (of data sets without files, of an
    image's pixels: :func:`mu.erasure.pixels.pixel_digests`), a path (whole, or any number of its
    last parts) or a pattern. What names no image, or several where one is meant, has the status
    ``unknown`` and a note. An image that a subject's entries name in two ways is one record.
    UserError if the data is not what the model was trained on.
    """
    spec.data.check(dataset)
    finder = _Finder(entries, dataset, spec)
    found: dict[tuple[str, str, int | str], Record] = {}
    for one in (record for entry in entries for record in finder.records(entry)):
        key = (one.subject, one.status, one.called if one.number is None else one.number)
        first = found.setdefault(key, one)
        if first is not one:
            found[key] = replace(first, note=_notes(first.note, _twice(one.line)))
    return list(found.values())


class _Finder:
    """Finds the images that entries name; what all entries share is computed once."""

    def __init__(self, entries: Sequence[Entry], dataset: ImageDataset, spec: Spec) -> None:
        self._dataset, manifest = dataset, dataset.manifest
        split = spec.split(dataset)
        self._status = np.full(len(dataset.train), "left_out", "<U10")
        self._status[split.train] = "trained"
        self._status[split.val] = "validation"
        self._status[np.array(spec.removed, np.int64)] = "forgotten"
        self._names: dict[str, Names] = {}
        self._files: dict[str, Sequence[str]] = {}
        if manifest is not None:
            self._files = {part: getattr(manifest, part).names for part in PARTS}
            self._names = {part: Names(one, manifest.root) for part, one in self._files.items()}
        digests = {one.text.lower() for one in entries if SHA256.fullmatch(one.text)}
        self._digests = _of_digests(dataset, digests) if digests else {}

    def records(self, entry: Entry) -> Iterator[Record]:
        """What an entry names; one record of what is unknown where it names nothing."""
        found, why = self._numbers(entry.text)
        note = ", ".join(map(_twice, entry.again))
        made = Record(entry.subject, entry.text, entry.line, None, None, "unknown", note)
        if not any(found.values()):
            yield replace(made, note=_notes(note, why))
        for number in found.get("train", []):
            status: Status = self._status[number].item()
            yield replace(made, number=number, file=self._file("train", number), status=status)
        for number in found.get("test", []):
            about = _notes(f"test image {number}", note)
            file = self._file("test", number)
            yield replace(made, file=file, status="test", note=about, test=number)

    def _numbers(self, text: str) -> tuple[Mapping[str, Sequence[int]], str]:
        """Numbers by part; or, where there are none, why."""
        if SHA256.fullmatch(text):
            found = {part: one.get(text.lower(), []) for part, one in self._digests.items()}
            return found, f"no image of {self._dataset.name} has this sha256"
        if NUMBER.fullmatch(text):
            size = len(self._dataset.train)
            numbers = [int(text)] if 0 <= int(text) < size else []
            return {"train": numbers}, f"numbers go from 0 to {size - 1}"
        if not self._names:
            return {}, f"the images of {self._dataset.name} are no files of their own"
        for part in PARTS:
            if len(called := self._names[part].called(text)) > 1:
                names = ", ".join(self._files[part][number] for number in called[:SHOWN])
                why = f"the name of {len(called)} images ({names}); write more of the path"
                return {}, why
            if called:
                return {part: called}, ""
        fitting = {part: one.fitting(text) for part, one in self._names.items()}
        return fitting, "no image is called so"

    def _file(self, part: str, number: int) -> str | None:
        return self._files[part][number] if self._files else None


def _of_digests(dataset: ImageDataset, wanted: set[str]) -> dict[str, dict[str, list[int]]]:
    """Numbers of the images with these sha256, by part and sha256."""
    if dataset.manifest is not None:
        return {part: getattr(dataset.manifest, part).of_digests(wanted) for part in PARTS}
    found: dict[str, dict[str, list[int]]] = {part: {} for part in PARTS}
    for part, by_digest in found.items():
        images = getattr(published(dataset), part)
        for number, digest in pixel_digests(images, np.arange(len(images))):
            if digest in wanted:
                by_digest.setdefault(digest, []).append(number)
    return found


def _twice(line: int) -> str:
    return f"listed twice (line {line})"


def _notes(*texts: str) -> str:
    return "; ".join(filter(None, texts))


# --- what can be done about them ----------------------------------------------------------


def trained_numbers(records: Sequence[Record]) -> Indices:
    """The sample numbers that the model was trained on, each once, sorted."""
    numbers = [one.number for one in records if one.status == "trained"]
    return np.unique(np.array(numbers, np.int64))


def refuse_nothing_to_do(records: Sequence[Record]) -> None:
    """UserError where no record was trained on; it counts them by their status."""
    if any(one.status == "trained" for one in records):
        return
    counts = Counter(one.status for one in records)
    words = ", ".join(f"{counts[one]} {one}" for one in get_args(Status) if counts[one])
    remedy = "check the list, or name the model that was trained on them"
    if counts["forgotten"]:
        remedy = (
            "of those that are forgotten there is no evidence in the store; to have some, "
            "erase them from the model that it was before they were forgotten"
        )
    raise UserError(
        f"the model was trained on none of the {len(records)} records ({words}), so there is "
        f"nothing to forget; {remedy}"
    )


def refuse_everything(numbers: Indices, split: Split) -> None:
    """UserError where the numbers are all that the model was trained on."""
    if not len(np.setdiff1d(split.train, numbers)):
        raise UserError(
            f"the request names all {len(split.train):,} images that the model was trained on, so "
            "nothing would be retained; delete the model's runs and versions instead, or name "
            "fewer records"
        )
