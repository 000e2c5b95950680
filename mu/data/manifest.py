"""The files of a data set: name and sha256 of each image by its number, and what was left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("part", "number", "file", "class", "sha256")


@dataclass(frozen=True, eq=False)
class PartFiles:
    """The files of the training or of the test images, by sample number."""

    names: Sequence[str]  # paths inside the folder or archive
    # sha256 (hex) of the bytes of each file; empty where they were not read yet.
    known: Sequence[str] = ()
    # read, size_of: bytes of a file, and their number, where ``known`` is empty.
    read: Callable[[int], bytes] | None = None
    size_of: Callable[[int], int] | None = None
    _found: dict[int, str] = field(default_factory=dict, repr=False)

    def digest(self, number: int) -> str:
        """sha256 (hex) of the bytes of a file."""
        if self.known:
            return self.known[number]
        if number not in self._found and self.read is not None:
            self._found[number] = hashlib.sha256(self.read(number)).hexdigest()
        return self._found[number]

    def all_read(self) -> PartFiles:
        """The same, with all sha256 known, so that nothing needs to be read later."""
        return PartFiles(self.names, [self.digest(number) for number in range(len(self.names))])

    def of_digests(self, digests: set[str]) -> dict[str, list[int]]:
        """The numbers of all files with these sha256, by sha256."""
        found: dict[str, list[int]] = {}
        for number in range(len(self.names)):
            if (digest := self.digest(number)) in digests:
                found.setdefault(digest, []).append(number)
        return found

    def copies(self, of: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which files of ``among`` have, byte for byte, the content of one of ``of``; sorted."""
        among = np.setdiff1d(among, of)
        if self.size_of is not None:  # only files of one size can be equal: few are read
            sizes = {self.size_of(int(number)) for number in of}
            among = np.array([n for n in among if self.size_of(int(n)) in sizes], np.int64)
        if not len(among):
            return among
        digests = {self.digest(int(number)) for number in of}
        return np.array([n for n in among if self.digest(int(n)) in digests], np.int64)


@dataclass(frozen=True, eq=False)
class Manifest:
    """Which file each image of a data set is."""

    root: str  # the folder or archive
    # train, test: files of the training and of the test images.
    train: PartFiles
    test: PartFiles
    summary: str = ""  # what was read, in words
    # Paths of files that are no image of the data set, by the reason.
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)


def listed(numbers: NDArray[np.int64], manifest: Manifest | None, most: int) -> str:
    """Sample numbers in words, with the names of their files, where they have any."""
    names = manifest.train.names if manifest else None
    shown = ", ".join(f"{n} = {names[n]}" if names else str(n) for n in numbers[:most])
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown
