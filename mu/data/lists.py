"""Lists in files: of sample numbers (npy, csv or txt), or of file names, patterns and sha256."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mu.data.images import Indices
from mu.data.lookup import Names, relative
from mu.data.manifest import Manifest
from mu.errors import UserError
from mu.readers.arrays import read_npy
from mu.readers.paths import checked_path

BETWEEN = re.compile(r"[,;\s]+")
NAME_COLUMNS = ("file", "name", "path", "filename", "file_name", "image", "record")
DIGEST_COLUMN = "sha256"
COLUMNS = (DIGEST_COLUMN, *NAME_COLUMNS)  # in the order in which they are preferred
SUBJECT_COLUMN = "subject"
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
NUMBER = re.compile(r"-?\d{1,18}")
_NUMBERS = re.compile(r"[-.\d,;\s]*")  # a line without anything else
SHOWN = 5


@dataclass(frozen=True)
class Entry:
    """A line of a list: what it says, and where it stands."""

    text: str
    line: int
    subject: str = ""  # whose it is, where the list says so
    again: tuple[int, ...] = ()  # further lines that say the same


def read_indices(file: Path) -> Indices:
    """Sample numbers from an npy file, or a csv or txt file.

    A text file holds one number a line, or all in one line between commas or spaces. UserError if
    the file is missing or holds anything but whole numbers.
    """
    file = checked_path("indices", file)
    if file.is_dir():
        raise UserError(f"{str(file)!r} is a folder; name the file of sample numbers in it")
    if not file.is_file():
        raise UserError(f"there is no index file {str(file)!r}")
    if file.suffix == ".npy":
        return _of_npy(file)
    try:
        lines = _lines(file)
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{str(file)!r} is no text file; give npy, csv or txt ({error})") from error
    return np.array([int(one.text) for one in _of_text(file, lines)], np.int64)


def _of_npy(file: Path) -> Indices:
    try:
        content = file.read_bytes()
        if content.startswith(b"PK"):
            raise UserError(f"{str(file)!r} is an archive; give one array of sample numbers")
        numbers = read_npy(content)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{str(file)!r} is damaged, or no npy file of whole numbers ({error}); write it with "
            "numpy.save"
        ) from error
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise UserError(
            f"{str(file)!r} holds {numbers.dtype} of shape {numbers.shape}; "
            "sample numbers are whole numbers in one dimension"
        )
    if len(numbers) and numbers.max() > np.iinfo(np.int64).max:
        raise UserError(f"{str(file)!r} holds {numbers.max()}, which is no sample number")
    whole: Indices = numbers.astype(np.int64)
    return whole


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8-sig").splitlines()


def _of_text(file: Path, lines: Sequence[str]) -> list[Entry]:
    found: list[Entry] = []
    rows = [[word for word in BETWEEN.split(line) if word] for line in lines]
    several = sum(bool(words) for words in rows) > 1
    for number, words in enumerate(rows, 1):
        where = f"{str(file)!r}, line {number}"
        if several and len(words) > 1:
            # A label in a second column would be taken for a sample: the wrong one is forgotten.
            raise UserError(
                f"{where}: {' '.join(words)[:60]!r} has several columns; "
                "write one sample number a line, or all in one line"
            )
        found += [Entry(_number(word, where, first=not found), number) for word in words]
    return found


def _number(word: str, where: str, *, first: bool) -> str:
    if NUMBER.fullmatch(word):
        return word
    hint = "write whole numbers without a point" if re.fullmatch(r"-?\d+\.\d*", word) else ""
    if first and word[:1].isalpha():
        hint = "where that is a header, remove the line"
    raise UserError(f"{where}: {word!r} is no sample number{'; ' if hint else ''}{hint}")


# --- names --------------------------------------------------------------------------------


def read_names(file: Path, what: str = "files", *, numbers: bool = False) -> list[Entry]:
    """The entries of a list of names: one a line, or a CSV file with a column of names.

    UserError if the file is missing, is no text, or has several columns of which none is known.
    ``what``: is listed, in messages. ``numbers``: whether it may be a list of sample numbers, too,
    as :func:`read_indices` takes it.
    """
    if file.is_dir():
        raise UserError(f"{str(file)!r} is a folder; name the file that lists the {what}")
    if not file.is_file():
        raise UserError(f"there is no list of {what} {str(file)!r}")
    if numbers and file.suffix == ".npy":
        found = [Entry(str(one), place) for place, one in enumerate(_of_npy(file).tolist(), 1)]
    else:
        found = _of_names(file, numbers)
    if not found:
        raise UserError(f"{str(file)!r} names no {what}; give at least one")
    return found


def _of_names(file: Path, numbers: bool) -> list[Entry]:
    try:
        lines = _lines(file)
        if numbers and all(map(_NUMBERS.fullmatch, lines)):
            return _of_text(file, lines)
        table = _of_table(file, lines)
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise UserError(
            f"{str(file)!r} is no text file ({error}); write one name a line, or csv"
        ) from error
    entries = table
    if entries is None:
        entries = [Entry(line.strip(), number) for number, line in enumerate(lines, 1)]
    if empty := next((one for one in entries if one.subject and not one.text), None):
        raise UserError(
            f"{str(file)!r}, line {empty.line}: nothing is listed for {empty.subject!r}; name an "
            "image, or remove the line"
        )
    return [one for one in entries if one.text]


def _of_table(file: Path, lines: list[str]) -> list[Entry] | None:
    """The entries of a CSV file; None where it has no header, and so is a plain list."""
    header = next((line for line in lines if line.strip()), "")
    for delimiter in (",", ";", "\t"):
        names = [one.strip().lower() for one in next(csv.reader([header], delimiter=delimiter), [])]
        if column := next((one for one in COLUMNS if one in names), None):
            reader = csv.reader(lines, delimiter=delimiter)
            places = [names.index(one) for one in (column, SUBJECT_COLUMN) if one in names]
            rows = [(reader.line_num, row) for row in reader if row][1:]
            for number, row in rows:
                if missing := [names[place] for place in places if len(row) <= place]:
                    raise UserError(
                        f"{str(file)!r}, line {number}: there is no column {missing[0]}"
                    )
            return [
                Entry(row[places[0]].strip(), number, "".join(row[n].strip() for n in places[1:]))
                for number, row in rows
            ]
        if SUBJECT_COLUMN in names or (file.suffix.lower() == ".csv" and len(names) > 1):
            raise UserError(
                f"{str(file)!r} has the columns {', '.join(names)[:80]}; call the one with the "
                f"names {NAME_COLUMNS[0]}, or {DIGEST_COLUMN} if it holds those"
            )
    return None


def numbers_of(file: Path, manifest: Manifest, trained: Indices) -> Indices:
    """The training images that a list names, sorted.

    An entry is a path (whole, below the folder, or any number of its last parts), a pattern with
    ``*``, ``?`` or ``[...]``, or the sha256 of a file's bytes. A pattern or a sha256 stands for all
    images that it fits and that were trained on; a path for exactly one. ``trained``: numbers of
    the images that the model was trained on. UserError names the entries that name no image or
    several, or none that was trained on.
    """
    entries = read_names(file)
    by_digest = {one.text.lower(): one for one in entries if SHA256.fullmatch(one.text)}
    found: set[int] = set()
    lost: list[Entry] = []
    if by_digest:
        equal = manifest.train.of_digests(set(by_digest))
        lost += [entry for digest, entry in by_digest.items() if digest not in equal]
        for numbers in equal.values():
            found |= _kept(numbers, trained)
    names = Names(manifest.train.names, manifest.root)
    for entry in entries:
        if entry.text.lower() not in by_digest:
            named = _named(entry, names, manifest, trained, file)
            lost += [] if named else [entry]
            found |= named
    if lost:
        raise UserError(_not_found(file, lost, manifest))
    return np.array(sorted(found), np.int64)


def _named(
    entry: Entry, names: Names, manifest: Manifest, trained: Indices, file: Path
) -> set[int]:
    numbers = names.called(entry.text)
    if len(numbers) > 1:
        shown = ", ".join(manifest.train.names[n] for n in numbers[:SHOWN])
        raise UserError(
            f"{str(file)!r}, line {entry.line}: {entry.text!r} is the name of {len(numbers)} "
            f"training images ({shown}); write more of the path"
        )
    return set(numbers) if numbers else _kept(names.fitting(entry.text), trained)


def _kept(numbers: list[int], trained: Indices) -> set[int]:
    """Those that were trained on; all where none was, so that the reader is told why."""
    chosen = set(np.intersect1d(np.array(numbers, np.int64), trained).tolist())
    return chosen or set(numbers)


def _not_found(file: Path, lost: list[Entry], manifest: Manifest) -> str:
    names = set(manifest.test.names)
    tested = [one for one in lost if relative(one.text, manifest.root) in names]
    shown = tested or lost
    listed = ", ".join(f"{one.text!r} (line {one.line})" for one in shown[:SHOWN])
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    if tested:
        return f"{str(file)!r}: {listed}{more}: test images, never trained on; remove them"
    example = manifest.train.names[0]
    return (
        f"{str(file)!r}: no training image is called {listed}{more}; names are paths below "
        f"{manifest.root!r}, such as {example!r}"
    )
