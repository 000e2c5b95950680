"""JSON in one spelling: a document has exactly one form in bytes, so no byte of it may differ."""

from __future__ import annotations

import base64
import binascii
import functools
import json
from typing import Any

from mu.readers.documents import read_json


def canonical(document: Any) -> bytes:
    """The one spelling of a document; a ValueError for numbers that JSON lacks."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def read_canonical(content: bytes) -> Any:
    """What a document holds; a ValueError if it is none, or is not spelled as mu spells it."""
    document = read_json(content)
    if not _is_canonical(content):
        raise ValueError(
            "it is not spelled as mu spells it (keys sorted and once, indented by one); "
            "it was changed after it was made"
        )
    return document


@functools.lru_cache(maxsize=8)  # several checks read one document, and spelling it takes longest
def _is_canonical(content: bytes) -> bool:
    return canonical(read_json(content)) == content


def encode_base64(content: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(content).decode()


def decode_base64(text: object, name: str) -> bytes:
    """What base64 stands for; a ValueError for another spelling than :func:`encode_base64`'s."""
    try:
        content = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if encode_base64(content) != text:
        raise ValueError(f"{name} is no base64")
    return content


def decode_hex(text: object, name: str) -> bytes:
    """The 32 bytes of a sha256; a ValueError for other texts, capital letters too."""
    try:
        content = bytes.fromhex(str(text))
    except ValueError:
        content = b""
    if content.hex() != text or len(content) != 32:
        raise ValueError(f"{name} is no sha256 of 64 hex digits")
    return content
