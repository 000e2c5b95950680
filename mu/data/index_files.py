"""Lists of sample numbers in files: npy, csv or txt."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mu.data.images import Indices
from mu.errors import UserError
from mu.readers.arrays import read_npy
from mu.readers.paths import checked_path

BETWEEN = re.compile(r"[,;\s]+")


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
    return _of_npy(file) if file.suffix == ".npy" else _of_text(file)


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


def _of_text(file: Path) -> Indices:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{str(file)!r} is no text file; give npy, csv or txt ({error})") from error
    found: list[int] = []
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
        found += [_number(word, where, first=not found) for word in words]
    return np.array(found, np.int64)


def _number(word: str, where: str, *, first: bool) -> int:
    if re.fullmatch(r"-?\d{1,18}", word):
        return int(word)
    hint = "write whole numbers without a point" if re.fullmatch(r"-?\d+\.\d*", word) else ""
    if first and word[:1].isalpha():
        hint = "where that is a header, remove the line"
    raise UserError(f"{where}: {word!r} is no sample number{'; ' if hint else ''}{hint}")
