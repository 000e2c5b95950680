"""The members of a tar or zip, as they are stored, one after another."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tarfile import HeaderError, ReadError
from typing import Literal, NamedTuple, Self

from mu.errors import UserError

ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # the latter of an empty one
LONGEST = 2**20  # bytes of a member's extended header, and of a link's target
UNIX = 3  # the system that a zip member was made on


class Member(NamedTuple):
    """A member of an archive, as it is stored; ``link`` is where it leads, of a link."""

    name: str
    kind: Literal["file", "folder", "link", "hard link", "special"]
    size: int
    link: str
    read: Callable[[], bytes]


class _StrictTarInfo(tarfile.TarInfo):
    """Refuses a tar that ends, or is damaged, at or inside a later header.

    tarfile itself takes these for the end of the archive, and images would silently be missing.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """The next member; the end is a block of zeros and nothing else."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise ReadError(f"damaged or cut ({error})") from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """A header; of an extended one, what follows is read into memory."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENDED and found.size > LONGEST:
            raise ReadError(f"a header of {found.size:,} bytes")
        return found


_EXTENDED = {
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
}


def _tarred(root: Path) -> Iterator[Member]:
    with tarfile.open(root, "r|*", tarinfo=_StrictTarInfo) as archive:
        for one in archive:
            yield Member(
                one.name, _kind(one), one.size, one.linkname, partial(_taken, archive, one)
            )


def _taken(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def _kind(one: tarfile.TarInfo) -> Literal["file", "folder", "link", "hard link", "special"]:
    if one.isreg():
        return "file"
    if one.isdir():
        return "folder"
    if one.issym():
        return "link"
    return "hard link" if one.islnk() else "special"


def _zipped(root: Path) -> Iterator[Member]:
    with zipfile.ZipFile(root) as archive:
        for one in archive.infolist():
            name, read = one.filename, partial(archive.read, one)
            mode = one.external_attr >> 16 if one.create_system == UNIX else 0
            if one.create_system != UNIX:
                name = name.replace("\\", "/")  # as some programs for Windows write it
            if name.endswith("/"):
                yield Member(name, "folder", 0, "", read)
            elif stat.S_ISLNK(mode):
                if one.file_size > LONGEST:
                    raise zipfile.BadZipFile(f"a link of {one.file_size:,} bytes")
                target = archive.read(one).decode(errors="surrogateescape")
                yield Member(name, "link", 0, target, read)
            else:
                yield Member(name, "file", one.file_size, "", read)


@contextmanager
def members(root: Path) -> Iterator[Iterator[Member]]:
    """The members of an archive; each can be read while it is the current one.

    UserError if it is no archive, or is damaged.
    """
    kind = "tar"
    try:
        with root.open("rb") as file:
            kind = "zip" if file.read(4) in ZIP_STARTS else kind
        yield (_zipped if kind == "zip" else _tarred)(root)
    except UserError:
        raise
    except Exception as error:  # damaged bytes raise anything in whoever unpacks them
        raise UserError(
            f"{str(root)!r} is no readable {kind} ({error}); name a folder, or an archive that is "
            "whole, with data_dir"
        ) from error
