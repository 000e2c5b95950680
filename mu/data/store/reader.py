"""Reading a file of images: opened at once, whatever its size, and read at random.

The value of an image is a header of label, length and checksum, and its encoded bytes.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb
import numpy as np

from mu.data.files.cache import file_digest
from mu.data.images import Indices
from mu.data.store.card import Card
from mu.data.store.pages import MAGIC, check_pages, damaged
from mu.errors import UserError
from mu.readers.documents import read_json

DIGEST_SUFFIX = ".sha256"
_HEADER = struct.Struct("<qQI")  # label, length and CRC-32 of what follows
_LONGEST_NAME = 8192  # letters of JSON
PARTS = ("train", "test")
META_KEY = b"meta"


def image_key(part: str, number: int) -> bytes:
    """The key of an image; keys of a part are in the order of sample numbers."""
    return f"{part}/".encode() + number.to_bytes(8, "big")


def labels_key(part: str) -> bytes:
    """The key of all labels of a part."""
    return f"labels/{part}".encode()


def names_key(part: str) -> bytes:
    """The key of the names of all files of a part; files built before they were kept have none."""
    return f"names/{part}".encode()


def pack_names(names: Sequence[str]) -> bytes:
    """Names of files, in the order of sample numbers."""
    return zlib.compress(json.dumps(list(names)).encode())


def header(value: bytes | memoryview) -> bytes:
    """The header of a record."""
    return bytes(value[: _HEADER.size])


def pack(label: int, content: bytes) -> bytes:
    """Header and bytes of an image."""
    return _HEADER.pack(label, len(content), zlib.crc32(content)) + content


def unpack(value: bytes | memoryview) -> tuple[int, bytes]:
    """Label and bytes of an image.

    ValueError if the value is no such record, or its bytes are not those that were packed.
    """
    if len(value) < _HEADER.size:
        raise ValueError("shorter than its header")
    label, length, checksum = _HEADER.unpack_from(value)
    content = bytes(value[_HEADER.size :])
    if len(content) != length:
        raise ValueError(f"{len(content)} bytes, where its header says {length}")
    if zlib.crc32(content) != checksum:
        raise ValueError("its bytes do not fit its checksum")
    return int(label), content


class ImageStore:
    """A file of images, open for reading. Handed to another process, it opens the file anew.

    UserError if it is no such file, was cut, or its labels do not fit its card.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._env = _opened(path)
        self.card = self._read_card()
        self._labels = {part: self._read_labels(part) for part in PARTS}

    def __reduce__(self) -> tuple[Any, ...]:
        return (ImageStore, (self.path,))

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read after that."""
        del self._env

    def labels(self, part: str) -> Indices:
        """Labels of all images of a part, int64 of shape (n,)."""
        return self._labels[part]

    def names(self, part: str) -> list[str]:
        """Names of the files that the images of a part were, where they are known."""
        with self._reading() as reading:
            value = bytes(reading.get(names_key(part)) or b"")
        if not value:
            return []
        count = len(self._labels[part])
        try:
            found = read_json(zlib.decompressobj().decompress(value, _LONGEST_NAME * (count + 1)))
            if [type(name) for name in found] != [str] * count:
                raise ValueError(f"they are not {count} names")
        except (ValueError, TypeError, zlib.error) as error:
            raise damaged(self.path, f"the file names of {part}: {error}") from error
        return list(found)

    def length(self, part: str, number: int) -> int:
        """Bytes of an encoded image, without reading it; 0 if it is missing."""
        with self._reading() as reading:
            value = reading.get(image_key(part, number)) or b""
            return max(0, len(value) - _HEADER.size)

    def image(self, part: str, number: int) -> bytes:
        """The encoded bytes of one image.

        UserError if they are missing or not those that were written.
        """
        with self._reading() as reading:
            value = reading.get(image_key(part, number))
            if value is None:
                raise damaged(self.path, f"{part} image {number} is missing")
            try:
                label, content = unpack(value)
            except ValueError as error:
                raise damaged(self.path, f"{part} image {number}: {error}") from error
        if label != self._labels[part][number]:
            raise damaged(self.path, f"{part} image {number} has another label than its list")
        return content

    def named_image(self, part: str, number: int) -> tuple[str, bytes]:
        """The same, after what an image is called where it is damaged."""
        return f"{part} image {number} of {str(self.path)!r}", self.image(part, number)

    def _value(self, key: bytes) -> bytes:
        with self._reading() as reading:
            value = reading.get(key)
            if value is None:
                raise UserError(
                    f"{str(self.path)!r} is an LMDB, but no file of images that mu built (it has "
                    f"no {key.decode()!r}); build one with mlflow run . -e dataset"
                )
            return bytes(value)

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction]:
        """A transaction; what LMDB finds wrong in the block is told."""
        try:
            with self._env.begin(buffers=True) as reading:
                yield reading
        except lmdb.Error as error:
            raise damaged(self.path, str(error)) from error

    def _read_card(self) -> Card:
        try:
            return Card.from_dict(read_json(self._value(META_KEY)))
        except (ValueError, AttributeError) as error:
            raise damaged(self.path, f"what it says of itself cannot be read: {error}") from error

    def _read_labels(self, part: str) -> Indices:
        content = self._value(labels_key(part))
        counts = self.card.counts[part]
        if len(content) % 8:
            raise damaged(self.path, f"the labels of {part} are cut")
        labels = np.frombuffer(content, "<i8").astype(np.int64)
        inside = not len(labels) or (labels.min() >= 0 and labels.max() < len(counts))
        if not inside or np.bincount(labels, minlength=len(counts)).tolist() != counts:
            raise damaged(self.path, f"the labels of {part} do not fit its counts")
        return labels


# LMDB does not open a file twice in one process, so its readers share it, and it is closed when
# nobody holds it any more.
_OPEN: WeakValueDictionary[tuple[str, int, int, int], lmdb.Environment] = WeakValueDictionary()


def _opened(path: Path) -> lmdb.Environment:
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r}; build it with mlflow run . -e dataset")
    about = path.stat()
    key = (str(path.resolve()), about.st_ino, about.st_mtime_ns, os.getpid())
    if (env := _OPEN.get(key)) is not None:
        return env
    check_pages(path)
    try:
        env = lmdb.open(
            str(path),
            subdir=False,
            readonly=True,
            lock=False,  # it is never written again
            readahead=False,
            create=False,
            max_readers=1,
        )
    except (lmdb.Error, OSError) as error:
        raise UserError(f"{str(path)!r} is no LMDB file that can be read: {error}") from error
    _OPEN[key] = env
    return env


def digest_file(path: Path) -> Path:
    """Where the digest of a file of images lies."""
    return path.with_name(path.name + DIGEST_SUFFIX)


def verify(path: Path) -> Card:
    """Check every byte of a file of images against the digest beside it.

    UserError if there is no digest, or a byte differs.
    """
    beside = digest_file(path)
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r} to verify")
    if not beside.is_file():
        with path.open("rb") as file:  # not opened as an LMDB: a damaged one could kill the process
            if MAGIC not in file.read(32):
                raise UserError(f"{str(path)!r} is no LMDB file; name one that dataset built")
        raise UserError(
            f"{str(path)!r} has no {beside.name} beside it, so nothing says what it should be; "
            "copy that file too, or build it again"
        )
    words = beside.read_text(errors="replace").split()
    if not words or len(words[0]) != 64:
        raise UserError(f"{str(beside)!r} holds no sha256; copy it anew")
    if file_digest(path) != words[0]:
        raise damaged(path, f"its sha256 is not the one in {beside.name}")
    with ImageStore(path) as store:
        return store.card
