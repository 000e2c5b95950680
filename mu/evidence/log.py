"""An append-only log of bundles: a line for each, and a Merkle tree over them (RFC 9162).

A line is the sha256 of a bundle's statement. A bundle holds the log as it was when its own line was
added, with the root of the tree, which who keeps the log signs. So whoever has two bundles sees
that the newer one's log begins with the older one's: nothing was changed, removed or put in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mu.evidence.canonical import canonical, decode_hex, read_canonical
from mu.evidence.signing import PrivateKey, check_signature, sign_message

ORIGIN = "mu data-erasure log"
FIELDS = {"lines", "origin", "root", "signature"}


@dataclass(frozen=True)
class Log:
    """A log at a moment: its lines (hex), their root, and who signed that, if anybody."""

    lines: Sequence[str]
    root: str
    signer: str | None = None  # key ID

    def __str__(self) -> str:
        return f"line {len(self.lines)}, the last one, root {self.root[:16]}..."


def line_of(statement: bytes) -> str:
    """The line of a statement: what a log consists of."""
    return hashlib.sha256(statement).hexdigest()


def tree_root(lines: Sequence[str]) -> str:
    """The Merkle tree hash (hex) of lines, at least one (RFC 9162, 2.1.1).

    A node without a sibling goes up as it is.
    """
    level = [hashlib.sha256(b"\0" + bytes.fromhex(one)).digest() for one in lines]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        nodes = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs]
        level = [*nodes, *level[len(level) & ~1 :]]
    return level[0].hex()


def make_log(lines: Sequence[str], key: PrivateKey | None = None) -> bytes:
    """What a bundle keeps of a log whose last line is its own."""
    root = tree_root(lines)
    return canonical(
        {
            "origin": ORIGIN,
            "lines": [*lines],
            "root": root,
            "signature": sign_message(head_text(len(lines), root), key) if key else None,
        }
    )


def head_text(size: int, root: str) -> bytes:
    """What is signed of a log: three lines."""
    return f"{ORIGIN}\n{size}\n{root}\n".encode()


def read_log(content: bytes) -> Log:
    """What :func:`make_log` gave; a ValueError if anything of it was changed.

    Who signed it, the caller has to look at: ``signer`` is None if nobody did.
    """
    document = read_canonical(content)
    if not isinstance(document, dict) or set(document) != FIELDS:
        raise ValueError(f"it has not exactly {', '.join(sorted(FIELDS))}")
    if document["origin"] != ORIGIN:
        raise ValueError(f"origin is {document['origin']!r}, not {ORIGIN!r}")
    lines, root, signature = (document[name] for name in ("lines", "root", "signature"))
    if not isinstance(lines, list) or not lines:
        raise ValueError("lines is no list, or it is empty")
    for number, one in enumerate(lines, 1):
        decode_hex(one, f"line {number}")
    if tree_root(lines) != root:
        raise ValueError(f"root is not that of the {len(lines)} lines: one of them was changed")
    if signature is None:
        return Log(lines, root)
    text = head_text(len(lines), root)
    return Log(lines, root, check_signature(signature, text, "signature of the root"))


def difference(newer: Sequence[str], older: Sequence[str]) -> str:
    """What of an older log a newer one lacks or has otherwise; empty if it only grew."""
    for number, (now, then) in enumerate(zip_longest(newer, older), 1):
        if then is None:
            return ""
        if now != then:
            here = "is missing" if now is None else f"is {now[:16]}..."
            return f"line {number} {here}, and was {then[:16]}..."
    return ""
