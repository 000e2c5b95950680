"""What a folder holds, link by link."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from mu.errors import UserError

LARGEST = 2**29  # bytes of an image file; Pillow refuses the pixels of larger ones anyway


class Kind(Enum):
    """What a name in a folder stands for."""

    FILE = "file"
    FOLDER = "folder"
    NOWHERE = "link that leads nowhere"
    OUTSIDE = "link that leads out of the archive"
    SPECIAL = "neither file nor folder"


class Entry(NamedTuple):
    """A name in a folder.

    ``identity`` is the same for all paths to one folder; ``linked`` says that the name is a link.
    """

    name: str
    kind: Kind
    identity: Hashable = None
    linked: bool = False


class Folder:
    """The files below a folder, links followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def identity(self) -> Hashable:
        """Of the folder itself."""
        found = self.root.stat()
        return found.st_dev, found.st_ino

    def entries(self, folder: str) -> Iterator[Entry]:
        """The names in ``folder``, a path relative to the root; unsorted."""
        try:
            with os.scandir(self.root / folder) as found:
                yield from map(_entry, found)
        except OSError as error:
            raise UserError(
                f"the folder {str(self.root / folder)!r} cannot be read ({error.strerror}); make "
                "it readable, or move it away"
            ) from error

    def read(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        """Pairs of path and bytes, sorted by path; of what is not there, nothing."""
        for name in sorted(wanted):
            if (self.root / name).is_file():
                yield name, content_of(self.root, name)


def _entry(found: os.DirEntry[str]) -> Entry:
    linked = found.is_symlink()
    try:
        if found.is_dir():
            about = found.stat()
            return Entry(found.name, Kind.FOLDER, (about.st_dev, about.st_ino), linked)
        if found.is_file():
            return Entry(found.name, Kind.FILE, None, linked)
    except OSError:  # a link to itself
        return Entry(found.name, Kind.NOWHERE, None, linked)
    return Entry(found.name, Kind.NOWHERE if linked else Kind.SPECIAL, None, linked)


def content_of(root: Path, name: str) -> bytes:
    """Bytes of the file ``name`` below ``root``."""
    try:
        with (root / name).open("rb") as file:
            check_size(name, os.fstat(file.fileno()).st_size)
            return file.read()
    except OSError as error:
        raise UserError(
            f"{name!r} in {str(root)!r} cannot be read ({error.strerror}); the folder has changed "
            "since it was listed, or the file is not yours to read"
        ) from error


def check_size(name: str, size: int) -> None:
    """Refuse a file of more bytes than an image can have."""
    if size > LARGEST:
        raise UserError(
            f"{name!r} has {size / 2**20:,.0f} MiB, more than the {LARGEST // 2**20} MiB that an "
            "image file may have; remove it, or make it smaller"
        )
