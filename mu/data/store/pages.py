"""The pages of an LMDB file, which LMDB believes: it would read where damaged ones point to.

LMDB reads a file as it is mapped into memory and checks nothing that it wrote itself. A damaged
page of its tree then makes it read beyond a page or beyond the file, which ends the process without
a word. So before it opens a file, all that it will follow is followed here: the first two pages,
and every page of the tree down to where the values lie. Values, nearly all of a file of images,
are not read; each of them has a checksum. Offsets are those of mdb.c, version 0.9.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mu.errors import UserError

MAGIC = bytes.fromhex("dec0efbe")  # of LMDB, in the first page
# Of MDB_meta, after a page's header: magic number, size of a page; of the tree of names its flags
# and where it begins; the last page, the number of the transaction that wrote it.
_META = struct.Struct("<16x4s20xI48xH34xQQQ")
_NO_PAGE = 2**64 - 1  # where the tree of an empty file begins
_SMALLEST, _LARGEST = 512, 65_536  # bytes of a page
_HEADER = 16  # bytes of a page's header; then where each of its entries stands, two bytes each
_ENTRY = 8  # bytes of an entry's header: size or page (6 bytes, with the flags), length of its key
_BRANCH, _LEAF = 1, 2  # kinds of pages of a tree
_FAR = 1  # flag of an entry whose value has pages of its own
_DEEPEST = 32  # levels that LMDB goes down
_AT_ONCE = 256  # pages in memory

Numbers = NDArray[np.int64]


class _Tree(NamedTuple):
    """What the first two pages say."""

    page: int  # bytes of one
    root: int
    last: int  # page
    size: int  # bytes of the file


def damaged(path: Path, why: str) -> UserError:
    """Of a file that is not what was built."""
    return UserError(f"{str(path)!r} is damaged: {why}; build it again, or copy it anew")


def check_pages(path: Path) -> None:
    """Refuse a file of which LMDB would read what is not there.

    UserError if it is no LMDB, or pages that are needed are missing or damaged.
    """
    with path.open("rb") as file:
        tree = _first_pages(path, file)
        if tree.root != _NO_PAGE:
            try:
                _check_tree(file, tree)
            except ValueError as error:
                raise damaged(path, str(error)) from error


def _first_pages(path: Path, file: BinaryIO) -> _Tree:
    """What stands in the first two pages; the one written last counts."""
    metas = [_META.unpack(file.read(_META.size).ljust(_META.size, b"\0"))]
    magic, page, *_ = metas[0]
    if magic != MAGIC:
        raise UserError(f"{str(path)!r} is no LMDB file; name one that dataset built")
    if not _SMALLEST <= page <= _LARGEST or page & (page - 1):
        raise damaged(path, f"its pages are of {page} bytes")
    file.seek(page)
    metas.append(_META.unpack(file.read(_META.size).ljust(_META.size, b"\0")))
    if metas[1][:2] != (magic, page):
        raise damaged(path, "its first two pages disagree")
    _, _, flags, root, last, _ = max(metas, key=lambda meta: meta[-1])
    if root > last and root != _NO_PAGE:
        raise damaged(path, "its contents begin beyond its end")
    size = path.stat().st_size
    if size < (needed := (last + 1) * page):
        raise damaged(path, f"it has {size:,} bytes, and {needed:,} are needed")
    if flags:
        raise damaged(path, "its tree is of another kind")
    return _Tree(page, root, last, size)


def _check_tree(file: BinaryIO, tree: _Tree) -> None:
    """Follow the tree from its root, level by level; ValueError where it leads astray."""
    level, pages = np.array([tree.root]), 0
    for _ in range(_DEEPEST):
        below = [_children(one, numbers, tree) for numbers, one in _read(file, level, tree)]
        level, pages = np.concatenate(below), pages + len(level)
        if pages + len(level) > tree.last:
            raise ValueError("pages are there twice")
        if not len(level):
            return
    raise ValueError("its tree has no end")


def _read(
    file: BinaryIO, level: Numbers, tree: _Tree
) -> Iterator[tuple[Numbers, NDArray[np.uint8]]]:
    """These pages, some at a time: their numbers, and their bytes, of shape (n, bytes of one)."""
    for start in range(0, len(level), _AT_ONCE):
        numbers = level[start : start + _AT_ONCE]
        content = bytearray()
        for number in numbers.tolist():
            file.seek(number * tree.page)
            content += file.read(tree.page)
        yield numbers, np.frombuffer(content, np.uint8).reshape(len(numbers), tree.page)


def _children(pages: NDArray[np.uint8], numbers: Numbers, tree: _Tree) -> Numbers:
    """The pages that branches among these lead to; ValueError if one of these is damaged."""
    words = pages.view("<u2").astype(np.int64)
    if (pages[:, :8].copy().view("<u8")[:, 0] != numbers.astype(np.uint64)).any():
        raise ValueError("a page of its tree is another one")
    kind, lower, upper = words[:, 5], words[:, 6], words[:, 7]
    counts = (lower - _HEADER) // 2
    fits = (lower % 2 == 0) & (lower >= _HEADER) & (lower <= upper) & (upper <= tree.page)
    fewest = np.where(kind == _BRANCH, 2, 1)  # LMDB aborts on fewer
    if not (fits & np.isin(kind, (_BRANCH, _LEAF)) & (counts >= fewest)).all():
        raise ValueError("a page of its tree is none")
    rows = np.repeat(np.arange(len(pages)), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = words[rows, _HEADER // 2 + place]
    if not ((starts % 2 == 0) & (upper[rows] <= starts) & (starts + _ENTRY <= tree.page)).all():
        raise ValueError("an entry of its tree is outside its page")
    low, high, flags, length = (words[rows, starts // 2 + n] for n in range(4))
    size, ends = low | high << 16, starts + _ENTRY + length
    branch = kind[rows] == _BRANCH
    far = ~branch & (flags == _FAR)
    inside = ends + np.where(branch, 0, np.where(far, 8, size)) <= tree.page
    if not (inside & (branch | (flags == 0) | far)).all():
        raise ValueError("an entry of its tree is outside its page")
    first = _eight_bytes(pages, rows[far], ends[far])
    most = np.uint64(tree.last)
    ended = first.astype(np.float64) * tree.page + _HEADER + size[far] <= tree.size
    if not ((first <= most) & ended).all():
        raise ValueError("a value is beyond its end")
    below: Numbers = (size | flags << 32)[branch]
    if (below > tree.last).any():
        raise ValueError("a page of its tree is beyond its end")
    return below


def _eight_bytes(pages: NDArray[np.uint8], rows: Numbers, starts: Numbers) -> NDArray[np.uint64]:
    """A number at a place of each row, wherever that lies."""
    content = pages[rows[:, None], starts[:, None] + np.arange(8)]
    return np.ascontiguousarray(content).view("<u8")[:, 0]
