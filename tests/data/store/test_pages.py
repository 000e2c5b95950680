"""The first pages of an LMDB file, which LMDB believes: damaged ones are refused before it does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest

from mu.data.files.decode import decode_rgb
from mu.data.store.builder import build
from mu.data.store.reader import ImageStore
from mu.data.store.sources import of_tree
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
