"""An append-only log of bundles: a Merkle tree (RFC 6962, RFC 9162), and what a bundle keeps of it.

A leaf is the sha256 of a bundle's statement; the log itself, a list of leaves, is kept elsewhere.
A bundle holds its position, the path from its leaf to the root, and the root, which who keeps the
log signs. Nobody can change, remove or put in a leaf without another root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mu.evidence.canonical import canonical, decode_hex, read_canonical
from mu.evidence.signing import PrivateKey, check_signature, sign_message

ORIGIN = "mu data-erasure log"
MOST = 2**62  # leaves of a log
FIELDS = {"head", "index", "origin", "path", "root", "signature", "size"}


@dataclass(frozen=True)
class Head:
    """A log at a moment: how many leaves it had, its root, and who signed that, if anybody."""

    size: int
    root: bytes
    signer: str | None = None  # key ID


def leaf_of(statement: bytes) -> bytes:
    """The leaf of a statement: what a log consists of."""
    return hashlib.sha256(statement).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of leaves (RFC 9162, 2.1.1)."""
    levels = _levels(leaves)
    return levels[-1][0] if leaves else hashlib.sha256(b"").digest()


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes by which a leaf leads to the root, from the leaf up (RFC 9162, 2.1.3.1)."""
    _check_place(index, len(leaves))
    path = []
    for level in _levels(leaves)[:-1]:
        if (sibling := index ^ 1) < len(level):
            path.append(level[sibling])
        index //= 2
    return path


def consistency_path(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The hashes that show that the first ``old`` leaves are still the same (RFC 9162, 2.1.4.1)."""
    _check_place(old - 1, len(leaves))
    if old == len(leaves):
        return []
    levels = _levels(leaves)
    place, height = old - 1, 0
    while place % 2:  # up to the largest complete subtree that ends with the old leaves
        place, height = place // 2, height + 1
    path = [levels[height][place]] if place else []
    for level in levels[height:-1]:
        if (sibling := place ^ 1) < len(level):
            path.append(level[sibling])
        place //= 2
    return path


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf has by its path (RFC 9162, 2.1.3.2); a ValueError for no path there."""
    _check_place(index, size)
    first, last = index, size - 1
    found = _leaf_hash(leaf)
    for one in path:
        if not last:
            raise ValueError("path is too long for its place in the log")
        if first % 2 or first == last:
            found = _node_hash(one, found)
            while not first % 2 and first:
                first, last = first // 2, last // 2
        else:
            found = _node_hash(found, one)
        first, last = first // 2, last // 2
    if last:
        raise ValueError("path is too short for its place in the log")
    return found


def is_consistent(old: Head, new: Head, path: Sequence[bytes]) -> bool:
    """Whether a path shows that a log only grew from one head to another (RFC 9162, 2.1.4.2)."""
    if not 0 < old.size <= new.size:
        return False
    if old.size == new.size:
        return not path and old.root == new.root
    waiting = list(path)
    if old.size & (old.size - 1) == 0:
        waiting.insert(0, old.root)
    if not waiting:
        return False
    first, last = old.size - 1, new.size - 1
    while first % 2:
        first, last = first // 2, last // 2
    before = after = waiting[0]
    for one in waiting[1:]:
        if not last:
            return False
        if first % 2 or first == last:
            before, after = _node_hash(one, before), _node_hash(one, after)
            while not first % 2 and first:
                first, last = first // 2, last // 2
        else:
            after = _node_hash(after, one)
        first, last = first // 2, last // 2
    return not last and before == old.root and after == new.root


def entry(leaves: Sequence[bytes], index: int, key: PrivateKey | None = None) -> bytes:
    """What a bundle keeps of a log: the place of its leaf, the path, and the head, signed."""
    root = tree_root(leaves)
    text = head_text(len(leaves), root)
    return canonical(
        {
            "origin": ORIGIN,
            "index": index,
            "size": len(leaves),
            "path": [one.hex() for one in inclusion_path(leaves, index)],
            "root": root.hex(),
            "head": hashlib.sha256(text).hexdigest(),
            "signature": sign_message(text, key) if key else None,
        }
    )


def head_text(size: int, root: bytes) -> bytes:
    """What is signed of a log: three lines."""
    return f"{ORIGIN}\n{size}\n{root.hex()}\n".encode()


def check_entry(content: bytes, leaf: bytes) -> tuple[int, Head]:
    """Where a leaf is in a log, and the log's head; a ValueError if it is not there.

    Also if anything of the entry was changed. Who signed the head, the caller has to look at:
    ``signer`` is None if nobody did.
    """
    document = read_canonical(content)
    if not isinstance(document, dict) or set(document) != FIELDS:
        raise ValueError(f"it has not exactly {', '.join(sorted(FIELDS))}")
    if document["origin"] != ORIGIN:
        raise ValueError(f"origin is {document['origin']!r}, not {ORIGIN!r}")
    index, size, path = (document[name] for name in ("index", "size", "path"))
    if type(index) is not int or type(size) is not int or not 0 <= index < size <= MOST:
        raise ValueError(f"index {index!r} and size {size!r} are no place in a log")
    if not isinstance(path, list):
        raise ValueError("path is no list")
    root = decode_hex(document["root"], "root")
    hashes = [decode_hex(one, f"hash {number} of path") for number, one in enumerate(path, 1)]
    if root_by_inclusion(leaf, index, size, hashes) != root:
        raise ValueError(f"this statement is not entry {index} of the log with root {root.hex()}")
    text = head_text(size, root)
    if document["head"] != hashlib.sha256(text).hexdigest():
        raise ValueError("head is not the digest of size and root")
    signature = document["signature"]
    signer = check_signature(signature, text, "signature of the head") if signature else None
    if signer is None and signature is not None:
        raise ValueError("signature of the head is neither one nor null")
    return index, Head(size, root, signer)


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Nodes of the tree from the leaves up; a node without a sibling goes up as it is."""
    levels = [[_leaf_hash(one) for one in leaves]]
    while len(below := levels[-1]) > 1:
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([*(_node_hash(*pair) for pair in pairs), *below[len(below) & ~1 :]])
    return levels


def _leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _check_place(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not in a log of {size}")
