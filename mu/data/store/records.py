"""The value of one image: a header of label, length and checksum, and its encoded bytes."""

from __future__ import annotations

import struct
import zlib

_HEADER = struct.Struct("<qQI")  # label, length and CRC-32 of what follows
PARTS = ("train", "test")
META_KEY = b"meta"


def image_key(part: str, number: int) -> bytes:
    """The key of an image; keys of a part are in the order of sample numbers."""
    return f"{part}/".encode() + number.to_bytes(8, "big")


def labels_key(part: str) -> bytes:
    """The key of all labels of a part."""
    return f"labels/{part}".encode()


def header(value: bytes | memoryview) -> bytes:
    """The header of a record."""
    return bytes(value[: _HEADER.size])


def pack(label: int, content: bytes) -> bytes:
    """Header and bytes of an image."""
    return _HEADER.pack(label, len(content), zlib.crc32(content)) + content


def unpack(value: bytes | memoryview) -> tuple[int, bytes]:
    """Label and bytes of an image.

    Raises
    ------
    ValueError
        If the value is no such record, or its bytes are not those that were packed.
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
