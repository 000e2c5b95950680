"""The first pages of an LMDB file, which LMDB believes: damaged ones are refused before it does."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest

from mu.data.files.decode import decode_rgb
from mu.data.store.builder import build
from mu.data.store.reader import ImageStore
from mu.data.store.sources import of_tree
from tests.data.store.test_store import contents_of
from tests.helpers import encoded, refused, write_tree

# Where the fields of the two first pages stand, in mdb.c of LMDB.
MAGIC, PAGE_SIZE, ROOT, LAST_PAGE, TRANSACTION = 16, 40, 128, 136, 144


@pytest.fixture
def built(tmp_path: Path) -> Path:
    pixels = np.zeros((4, 4, 3), np.uint8)
    images = {
        f"{part}/{kind}/0.png": encoded(pixels) for part in ("train", "test") for kind in "ab"
    }
    write_tree(tmp_path / "tree", images)
    build(of_tree(tmp_path / "tree"), tmp_path / "images.lmdb", decode_rgb)
    return tmp_path / "images.lmdb"


def changed(path: Path, place: int, value: bytes, page: int) -> None:
    content = bytearray(path.read_bytes())
    at = place + page * struct.unpack_from("<I", content, PAGE_SIZE)[0]
    content[at : at + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize("size", [0, 1, 511, 1000, 2**17, 2**32 - 1])
@pytest.mark.parametrize("page", [0, 1])
def test_a_page_size_that_cannot_be_is_refused(size, page, built):
    changed(built, PAGE_SIZE, struct.pack("<I", size), page)
    with refused("images.lmdb", "damaged"):
        ImageStore(built)


@pytest.mark.parametrize("place", [ROOT, LAST_PAGE])
def test_pages_beyond_the_end_are_refused(place, built):
    for page in (0, 1):
        changed(built, place, struct.pack("<Q", 2**40), page)
    with refused("images.lmdb", "damaged"):
        ImageStore(built)


def test_a_second_page_that_is_none_is_refused(built):
    changed(built, MAGIC, b"nope", 1)
    with refused("images.lmdb", "damaged"):
        ImageStore(built)


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"\0" * 200], ids=["none", "x", "zeros"])
def test_what_is_no_lmdb_is_refused(content, tmp_path):
    (tmp_path / "images.lmdb").write_bytes(content)
    with refused("images.lmdb", "no LMDB file"):
        ImageStore(tmp_path / "images.lmdb")


def test_an_lmdb_of_something_else_is_told_apart(tmp_path):
    with lmdb.open(str(tmp_path / "images.lmdb"), subdir=False):
        pass
    with refused("no file of images that mu built"):
        ImageStore(tmp_path / "images.lmdb")


def test_what_lmdb_says_of_a_damaged_tree_is_one_line(built, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise lmdb.CorruptedError("mdb_get: MDB_CORRUPTED: Located page was wrong type")

    class Fails:
        begin: Callable[..., None] = fails

    store = ImageStore(built)
    monkeypatch.setattr(store, "_env", Fails())
    for read in (lambda: store.image("train", 0), lambda: store.names("train")):
        with refused("damaged", "wrong type"):
            read()


def test_a_file_of_the_user_is_not_taken_for_what_a_build_left(built, tmp_path):
    (tmp_path / "again.lmdb.part").write_bytes(b"x" * 9000)
    with refused("again.lmdb.part", "remove it"):
        build(of_tree(tmp_path / "tree"), tmp_path / "again.lmdb", decode_rgb)
    assert (tmp_path / "again.lmdb.part").read_bytes() == b"x" * 9000


@pytest.mark.parametrize("left", [b"", bytes(9000), "cut"], ids=["none", "zeros", "cut"])
def test_what_a_crash_left_of_a_build_is_built_anew(left, built, tmp_path):
    content = built.read_bytes()
    (tmp_path / "again.lmdb.part").write_bytes(content[:9000] if left == "cut" else left)
    build(of_tree(tmp_path / "tree"), tmp_path / "again.lmdb", decode_rgb)

    assert (tmp_path / "again.lmdb").read_bytes() == content
    assert not (tmp_path / "again.lmdb.part").exists()


def test_progress_of_a_build_that_cannot_be_read_is_made_anew(built, tmp_path):
    with (
        lmdb.open(str(tmp_path / "again.lmdb.part"), subdir=False) as env,
        env.begin(write=True) as t,
    ):
        t.put(b"progress/2", b'{"fingerprint": ')
    build(of_tree(tmp_path / "tree"), tmp_path / "again.lmdb", decode_rgb)

    with ImageStore(built) as one, ImageStore(tmp_path / "again.lmdb") as other:
        assert one.card == other.card


# --- the tree below -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two levels, some of whose values have pages of their own."""
    path = tmp_path_factory.mktemp("tree") / "images.lmdb"
    contents = contents_of(900)
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    large, read = encoded(noise), contents.read
    contents = replace(
        contents,
        read=lambda places: ((p, large if p[1] % 9 == 0 else one) for p, one in read(places)),
    )
    build(contents, path, decode_rgb)
    return path


SIZE = 4096


def pages_of(path: Path, kind: int) -> list[int]:
    """Numbers of the pages of the tree that branch (1) or hold values (2), as they stand."""
    content = path.read_bytes()
    headers = [struct.unpack_from("<QHHHH", content, at) for at in range(0, len(content), SIZE)]
    return [n for n, head in enumerate(headers) if n > 1 and head[0] == n and head[2] == kind]


def entries_of(content: bytes, page: int) -> list[int]:
    """Where the entries of a page stand in the file."""
    (lower,) = struct.unpack_from("<H", content, page * SIZE + 12)
    starts = struct.unpack_from(f"<{(lower - 16) // 2}H", content, page * SIZE + 16)
    return [page * SIZE + start for start in starts]


def far_entry(content: bytes, path: Path) -> int:
    """Where an entry stands whose value has pages of its own."""
    entries = [at for page in pages_of(path, 2) for at in entries_of(content, page)]
    return next(at for at in entries if struct.unpack_from("<H", content, at + 4) == (1,))


def branch_entry(content: bytes, path: Path) -> int:
    return entries_of(content, pages_of(path, 1)[0])[0]


# What is changed, where that stands, and to what.
DAMAGE: dict[str, tuple[Callable[[bytes, Path], int], bytes]] = {
    "a branch is no page of a tree": (lambda _, path: pages_of(path, 1)[0] * SIZE + 10, b"\7\0"),
    "a leaf has another number": (lambda _, path: pages_of(path, 2)[3] * SIZE, b"\1"),
    "entries end beyond the page": (lambda _, path: pages_of(path, 2)[3] * SIZE + 12, b"\xf0\xff"),
    "an entry stands beyond the page": (
        lambda _, path: pages_of(path, 2)[3] * SIZE + 16, b"\xfe\x0f",
    ),
    "an entry stands at an odd place": (
        lambda _, path: pages_of(path, 2)[3] * SIZE + 16, b"\xf1\x0e",
    ),
    "a key is longer than the page": (branch_entry, b"\5\0\0\0\0\0\xff\xff"),
    "a branch leads beyond the file": (branch_entry, b"\xff\xff\xff\xff"),
    "a branch leads to itself": (
        branch_entry, b"ITSELF",
    ),
    "a value is longer than the file": (far_entry, b"\xff\xff\xff\x7f"),
    "a value has a flag of other trees": (lambda c, path: far_entry(c, path) + 4, b"\2"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_tree_that_leads_astray_is_refused_before_lmdb_follows_it(
    kind: str, tree: Path, tmp_path: Path
) -> None:
    where, value = DAMAGE[kind]
    content, path = bytearray(tree.read_bytes()), tmp_path / "images.lmdb"
    at = where(bytes(content), tree)
    if value == b"ITSELF":
        value = (at // SIZE).to_bytes(4, "little")
    content[at : at + len(value)] = value
    path.write_bytes(content)
    with refused("images.lmdb", "is damaged"):
        ImageStore(path)


def test_a_tree_as_it_was_built_is_followed_to_its_end(tree: Path) -> None:
    assert pages_of(tree, 1)
    with ImageStore(tree) as store:
        assert len(store.image("train", 9)) > SIZE
    # Of 900 images every entry is looked at: damage in the last one is found, too.
    assert (
        len({at for page in pages_of(tree, 2) for at in entries_of(tree.read_bytes(), page)}) > 900
    )


@pytest.mark.slow
def test_no_damage_of_the_tree_ends_the_process(tree: Path, tmp_path: Path) -> None:
    code = f"""
import random, sys
from pathlib import Path
from mu.data.store.reader import ImageStore
from mu.errors import UserError

whole, tree = Path({str(tree)!r}).read_bytes(), {pages_of(tree, 1) + pages_of(tree, 2)}
refused = 0
for seed in range(200):
    draw, content = random.Random(seed), bytearray(whole)
    for _ in range(draw.choice([1, 1, 2, 8])):
        at = draw.choice(tree) * {SIZE} + draw.choice([draw.randrange(200), draw.randrange({SIZE})])
        content[at] = draw.choice([0, 255, draw.randrange(256)])
    path = Path({str(tmp_path)!r}) / f"{{seed}}.lmdb"
    path.write_bytes(content)
    try:
        with ImageStore(path) as store:
            for part in ("train", "test"):
                for number in range(len(store.labels(part))):
                    store.image(part, number)
    except UserError:
        refused += 1
    path.unlink()
print(refused)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50
