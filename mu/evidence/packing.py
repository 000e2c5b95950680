"""One zip of several files that is the same to the byte whenever it is packed.

Files are stored as they are, sorted, with one date. Only what packs again to the very same bytes
is read, so a zip hides nothing: no further bytes, no links, no name twice, nothing that unpacks to
more than there is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

LARGEST = 2**31 - 1  # bytes of all files of a bundle
MOST_FILES = 100_000  # one is a letter, of each person of a batch
_LOCAL, _CENTRAL, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_VERSION, _UTF8, _STORED, _TIME, _DATE = 20, 0x0800, 0, 0, (1 << 5) | 1  # 1980-01-01
_UNIX = 3 << 8
_MODE = 0o100644 << 16
_HEADER = struct.Struct("<4s5H3I2H")


def pack(files: Mapping[str, bytes]) -> bytes:
    """The zip of files by name."""
    parts, central, offset = [], [], 0
    for name in sorted(files):
        head = _local(name, files[name])
        parts += [head, files[name]]
        central.append(_in_directory(name, files[name], offset))
        offset += len(head) + len(files[name])
    size = sum(map(len, central))
    end = struct.pack("<4s4H2IH", _END, 0, 0, len(files), len(files), size, offset, 0)
    return b"".join([*parts, *central, end])


def unpack(content: bytes) -> dict[str, bytes]:
    """The files of such a zip; a ValueError that names what is not as :func:`pack` writes it."""
    files = {}
    for name, inside in _members(content):
        if name in files:
            raise ValueError(f"{name} is in it twice")
        files[name] = inside
    if not files:
        raise ValueError("it is no zip of a bundle, or its first bytes were changed")
    again = pack(files)
    if again != content:
        raise ValueError(_difference(files, again, content))
    return files


def check_names(names: Mapping[str, object]) -> None:
    """Refuse names that no file of a bundle has: absolute ones, those that lead out, odd ones."""
    for name in names:
        parts = name.split("/")
        odd = not name.isprintable() or "\\" in name or ":" in name
        if odd or any(one in ("", ".", "..") for one in parts):
            raise ValueError(f"{name!r} is no relative path inside of a bundle")


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Files by their local headers, one after the other."""
    offset = count = 0
    while content[offset : offset + 4] == _LOCAL:
        count += 1
        if count > MOST_FILES:
            raise ValueError(f"it has more than {MOST_FILES:,} files")
        if len(content) - offset < _HEADER.size:
            raise ValueError("it is cut off")
        _, _, _, method, _, _, checksum, packed, size, letters, _ = _HEADER.unpack_from(
            content, offset
        )
        start = offset + _HEADER.size + letters
        try:
            name = content[offset + _HEADER.size : start].decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"the name of file {count} is no UTF-8") from error
        check_names({name: None})
        if method != _STORED or packed != size:
            raise ValueError(
                f"{name} was not packed by mu; unpack it into a new folder and give that"
            )
        inside = content[start : start + size]
        if len(inside) < size:
            raise ValueError(f"{name} is cut off")
        if content[offset:start] != _local(name, inside):
            wrong = "its bytes" if zlib.crc32(inside) != checksum else "its header"
            raise ValueError(
                f"{name}: {wrong} were changed, or it was not packed by mu: then unpack it into "
                "a new folder and give that"
            )
        yield name, inside
        offset = start + size


def _difference(files: Mapping[str, bytes], again: bytes, content: bytes) -> str:
    """What of the directory, or behind it, is not as it would be packed."""
    if sorted(files) != list(files):
        return "its files are not sorted by name, so it was not packed by mu"
    if len(content) != len(again):
        return "it is cut off" if len(content) < len(again) else "there are further bytes in it"
    at = sum(len(_local(name, inside)) + len(inside) for name, inside in files.items())
    offset = 0
    for name, inside in files.items():
        entry = _in_directory(name, inside, offset)
        if content[at : at + len(entry)] != entry:
            return f"what its directory says of {name} was changed"
        at, offset = at + len(entry), offset + len(_local(name, inside)) + len(inside)
    return "its end was changed"


def _common(name: str, inside: bytes) -> tuple[int, ...]:
    """What both headers of a file hold."""
    flags = 0 if name.isascii() else _UTF8
    checksum, size, letters = zlib.crc32(inside), len(inside), len(name.encode())
    return (_VERSION, flags, _STORED, _TIME, _DATE, checksum, size, size, letters, 0)


def _local(name: str, inside: bytes) -> bytes:
    return _HEADER.pack(_LOCAL, *_common(name, inside)) + name.encode()


def _in_directory(name: str, inside: bytes, offset: int) -> bytes:
    common = _common(name, inside)
    head = struct.pack("<4sH5H3I2H", _CENTRAL, _UNIX | _VERSION, *common)
    return head + struct.pack("<3H2I", 0, 0, 0, _MODE, offset) + name.encode()
