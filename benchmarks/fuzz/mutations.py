"""What is done to a file: bytes changed, cut, repeated; numbers and texts replaced; trees bent."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

SENTINEL = "mu_fuzz_sentinel"  # a module; whoever imports it has executed somebody's code
NAMES = (f"{SENTINEL}:make", f"{SENTINEL}.inner:make", "os:system", "torchvision:resnet18")
NUMBERS = (
    *("0", "-1", "1", "255", "65536", "4294967296", "9223372036854775808", "1" + "0" * 30),
    *("1" + "0" * 400, "9" * 5000, "1e308", "1e400", "-1e400", "nan", "NaN", "Infinity", "0.1"),
    *("1e-320", "10**30", "0x10", "0b", "1:1:1:1.5", "1_000", "٣"),
)
TEXTS = (
    *NAMES,
    *("", "none", "null", "true", "[", "]", "{", "}", "[" * 900, "{" * 900, "(" * 300, "- " * 900),
    *("\0", "\x1b[31m", "\x85", "\ud800", "\ufeff", "a" * 300, "/" + "a/" * 3000, "~nobody/x"),
    *("../../etc/passwd", "2020-13-45", "!!timestamp 2020-99-99", "!!python/name:os.system"),
    *("&a [*a]", "*a", "<<: *a", "!!binary x", "? : ?", "%YAML 9", "'''", '"', "\\", "\n", "\r"),
    *("class:0" + ",0" * 5000, "random:1e400%", "class::::", "indices:/", "=", "?", "@", "`"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**30, 10**400, 0.5, 1e308, float("inf")),
    *(float("nan"), "", "x", [], {}, [[]], [None], {"": None}, [10**30], ["x"], [0] * 1000),
    *TEXTS,
)


def mutate(content: bytes, draws: Random) -> bytes:
    """The content with a few changes somewhere."""
    for _ in range(draws.choice((1, 1, 1, 2, 3, 6))):
        content = draws.choice(_BYTES)(content, draws)
    return content


def _place(content: bytes, draws: Random) -> int:
    """Headers, where sizes and kinds stand, are as likely as all the rest."""
    end = len(content) if draws.random() < 0.5 else min(len(content), 200)
    return draws.randint(0, max(0, end - 1))


def _change(content: bytes, draws: Random) -> bytes:
    at = _place(content, draws)
    return (
        content[:at]
        + bytes([draws.choice((0, 1, 127, 128, 255, draws.randrange(256)))])
        + (content[at + 1 :])
    )


def _flip(content: bytes, draws: Random) -> bytes:
    at = _place(content, draws)
    flipped = bytes(one ^ (1 << draws.randrange(8)) for one in content[at : at + 1])
    return content[:at] + flipped + content[at + 1 :]


def _cut(content: bytes, draws: Random) -> bytes:
    at = _place(content, draws)
    end = len(content) if draws.random() < 0.3 else at + draws.randint(1, 40)
    return content[:at] + content[end:]


def _repeat(content: bytes, draws: Random) -> bytes:
    at = _place(content, draws)
    return (
        content[:at]
        + content[at : at + draws.randint(1, 60)] * draws.choice((2, 3, 500))
        + (content[at:])
    )


def _insert(content: bytes, draws: Random) -> bytes:
    at, text = _place(content, draws), draws.choice((*TEXTS, *NUMBERS))
    return content[:at] + text.encode("utf-8", "surrogatepass") + content[at:]


def _number(content: bytes, draws: Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:100_000]))
    if not found:
        return _insert(content, draws)
    one = draws.choice(found)
    return content[: one.start()] + draws.choice(NUMBERS).encode() + content[one.end() :]


def _text(content: bytes, draws: Random) -> bytes:
    found = list(re.finditer(rb"[A-Za-z_]{2,}", content[:100_000]))
    if not found:
        return _insert(content, draws)
    one, text = draws.choice(found), draws.choice(TEXTS)
    return content[: one.start()] + text.encode("utf-8", "surrogatepass") + content[one.end() :]


def _word(content: bytes, draws: Random) -> bytes:
    """Eight bytes, a length or an offset, replaced."""
    at = _place(content, draws) // 8 * 8
    number = draws.choice((0, 1, 2**16, 2**31, 2**32, 2**63, 2**64 - 1, draws.getrandbits(64)))
    return content[:at] + number.to_bytes(8, "little") + content[at + 8 :]


_BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_change, _flip, _cut, _repeat, _insert, _number, _text, _word),
)


def mutate_tree(document: Any, draws: Random) -> Any:
    """A JSON document with a few values replaced, removed, doubled, or wrapped."""
    found = copy.deepcopy(document)
    for _ in range(draws.choice((1, 1, 2, 3))):
        holder, key = _somewhere(found, draws)
        if holder is None:
            return draws.choice(VALUES)
        what = draws.random()
        if what < 0.75:
            holder[key] = draws.choice(VALUES)
        elif what < 0.85:
            del holder[key]
        elif what < 0.95 and isinstance(holder, dict):
            holder[draws.choice(TEXTS)] = draws.choice(VALUES)
        else:
            for _ in range(draws.choice((1, 40, 900))):
                holder[key] = [holder[key]]
    return found


def _somewhere(document: Any, draws: Random) -> tuple[Any, Any]:
    holder, key, inner = None, None, document
    while isinstance(inner, dict | list) and inner and (holder is None or draws.random() < 0.8):
        holder = inner
        key = draws.choice(list(inner)) if isinstance(inner, dict) else draws.randrange(len(inner))
        inner = holder[key]
    return holder, key


def as_json(document: Any) -> bytes:
    """JSON as Python writes it, with what JSON itself lacks."""
    try:
        return json.dumps(document).encode()
    except RecursionError:
        return b'{"a":' * 900 + b"1" + b"}" * 900
