"""Files of images: what goes in comes out, damage is noticed, and a build is whole or not there."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mu.data.files.decode import decode_rgb
from mu.data.images import statistics_of
from mu.data.store import builder
from mu.data.store.builder import build
from mu.data.store.card import Card, Gathered
from mu.data.store.reader import META_KEY, ImageStore, digest_file, image_key, pack, unpack, verify
from mu.data.store.sources import Contents, of_dataset, of_tree
from mu.digests import digest_of
from tests.helpers import encoded, laws, make_dataset, refused, write_tree
from tests.processes import python, run_python

# --- records ------------------------------------------------------------------------------


@laws(60)
@given(label=st.integers(0, 2**40), content=st.binary(max_size=200))
def test_a_record_gives_back_what_was_packed(label: int, content: bytes) -> None:
    assert unpack(pack(label, content)) == (label, content)


@laws(200)
@given(content=st.binary(min_size=1, max_size=60), data=st.data())
def test_any_flipped_bit_of_the_bytes_is_noticed(content: bytes, data: st.DataObject) -> None:
    value = bytearray(pack(3, content))
    place = data.draw(st.integers(8, len(value) - 1))  # the label is checked against the list
    value[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="bytes"):
        unpack(bytes(value))


@pytest.mark.parametrize("cut", [0, 5, 19, 21])
def test_a_record_that_was_cut_is_noticed(cut: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        unpack(pack(1, b"abc")[:cut])


def test_keys_are_in_the_order_of_sample_numbers() -> None:
    numbers = [0, 1, 255, 256, 65536, 10**9]
    keys = [image_key("train", number) for number in numbers]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


# --- sums over images ---------------------------------------------------------------------


def test_statistics_are_those_of_all_pixels_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((4, 6), (3, 3), (9, 2))]
    one, other = Gathered(), Gathered()
    for image in images:
        one.add("train", image, 10)
    for image in reversed(images):
        other.add("train", image, 10)
    other.add("test", images[0][:, :4], 10)
    flat = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    mean, std = statistics_of(one.values)
    assert mean == pytest.approx(flat.mean(0), abs=1e-6)
    assert std == pytest.approx(flat.std(0), abs=1e-6)
    assert (one.smallest, one.largest, one.encoded) == ((3, 3), (6, 4), 30)
    again = Gathered.from_dict(json.loads(json.dumps(other.as_dict())))
    assert np.array_equal(again.values, one.values), "statistics are of the training images"
    assert (again.smallest, again.largest, again.encoded) == ((3, 3), (6, 4), 40)


# --- building and reading -----------------------------------------------------------------


def contents_of(count: int = 20, classes: int = 3, name: str = "made up") -> Contents:
    """Small random pictures as PNG."""
    rng = np.random.default_rng(count)
    labels = {"train": np.arange(count) % classes, "test": np.arange(classes)}
    encoded = {}
    for part, own in labels.items():
        for number in range(len(own)):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (5, 4, 3), np.uint8)).save(file, "PNG")
            encoded[part, number] = file.getvalue()
    return Contents(
        name,
        "nowhere",
        tuple("abcdefgh"[:classes]),
        labels,
        digest_of([name, count]),
        lambda wanted: ((place, encoded[place]) for place in sorted(wanted)),
    )


def everything(path: Path) -> dict[tuple[str, int], bytes]:
    with ImageStore(path) as store:
        return {
            (part, n): store.image(part, n)
            for part in ("train", "test")
            for n in range(len(store.labels(part)))
        }


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    contents = contents_of()
    told: list[int] = []
    card = build(contents, tmp_path / "a.lmdb", decode_rgb, advance=told.append)
    assert sum(told) == 23
    assert everything(tmp_path / "a.lmdb") == dict(contents.read(contents.places()))
    with ImageStore(tmp_path / "a.lmdb") as store:
        assert store.card == card
        for part, labels in contents.labels.items():
            assert store.labels(part).tolist() == labels.tolist()
    assert card.counts == {"train": [7, 7, 6], "test": [1, 1, 1]}
    assert (card.smallest, card.largest) == ((4, 5), (4, 5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.lmdb", "a.lmdb.sha256"]
    assert verify(tmp_path / "a.lmdb") == card


def test_the_digest_is_one_that_sha256sum_reads(tmp_path: Path) -> None:
    build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    command = ["sha256sum", "--check", "a.lmdb.sha256"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_a_folder_gives_the_numbers_and_labels_of_imagefolder(tmp_path: Path) -> None:
    from mu.data import load_data

    rng = np.random.default_rng(1)
    tree = {
        f"{part}/{name}/{number}.png": encoded(rng.integers(0, 256, (8, 8, 3), np.uint8))
        for part, count in (("train", 4), ("val", 2))
        for name in ("cat", "dog")
        for number in range(count)
    }
    write_tree(tmp_path / "images", tree)
    build(of_tree(tmp_path / "images"), tmp_path / "a.lmdb", decode_rgb)
    plain = load_data("imagefolder", tmp_path / "images")
    packed = load_data("lmdb", tmp_path / "a.lmdb")
    assert packed.classes == plain.classes == ("cat", "dog")
    for one, other in ((packed.train, plain.train), (packed.test, plain.test)):
        assert (one.pixels == other.pixels).all()
        assert (one.labels == other.labels).all()
    assert (packed.mean, packed.std) == (plain.mean, plain.std)
    assert packed.fingerprint == plain.fingerprint, "the same data, wherever it lies"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_named_set_comes_back_as_it_was(tmp_path: Path, channels: int) -> None:
    from mu.data import load_data

    dataset = make_dataset(channels=channels)
    build(of_dataset(dataset), tmp_path / "a.lmdb", decode_rgb)
    again = load_data("lmdb", tmp_path / "a.lmdb")
    assert again.shape == dataset.shape
    assert again.fingerprint == dataset.fingerprint


def test_sizes_that_differ_become_squares(tmp_path: Path) -> None:
    from mu.data import load_data

    rng = np.random.default_rng(1)
    sizes = [(8, 8), (10, 6), (7, 9), (8, 8)]
    tree = {
        f"train/{name}/{n}.png": encoded(rng.integers(0, 256, (*size, 3), np.uint8))
        for name in "ab"
        for n, size in enumerate(sizes)
    }
    tree |= {f"test/{name}/0.png": encoded(np.zeros((8, 8, 3), np.uint8)) for name in "ab"}
    write_tree(tmp_path / "images", tree)
    build(of_tree(tmp_path / "images"), tmp_path / "a.lmdb", decode_rgb)
    assert load_data("lmdb", tmp_path / "a.lmdb").shape == (3, 64, 64)
    packed = load_data("lmdb", tmp_path / "a.lmdb", 16)
    plain = load_data("imagefolder", tmp_path / "images", 16)
    assert (packed.mean, packed.std) == (plain.mean, plain.std), "of what is trained on"
    assert (packed.train.pixels == plain.train.pixels).all()


def test_greys_of_16_bits_are_scaled_wherever_they_are_decoded(tmp_path: Path) -> None:
    from mu.data import load_data
    from mu.data.streaming import Decoder

    rng = np.random.default_rng(0)
    tree = {
        f"{part}/{name}/{n}.png": encoded(rng.integers(0, 65536, (16, 16), np.uint16))
        for part in ("train", "test")
        for name in "ab"
        for n in range(4)
    }
    write_tree(tmp_path / "images", tree)
    card = build(of_tree(tmp_path / "images"), tmp_path / "a.lmdb", decode_rgb)
    assert card.mean == pytest.approx([0.5] * 3, abs=0.02)
    packed = load_data("lmdb", tmp_path / "a.lmdb")
    with ImageStore(tmp_path / "a.lmdb") as store:
        decoder = Decoder(partial(store.named_image, "train"), 16, 3, "crop")
        augmented = decoder[0, 5, False]
    assert not isinstance(augmented, str)
    assert float(augmented.float().mean()) == pytest.approx(
        float(packed.train.fetch(torch.tensor([0])).float().mean()), abs=25
    )


def test_a_source_that_changed_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "CHUNK", 2)
    rng = np.random.default_rng(1)
    pictures = [encoded(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(9)]
    parts = ("test", "train")
    names = [f"{part}/{name}/{n}.png" for part in parts for name in "ab" for n in (0, 1)]
    write_tree(tmp_path / "images", dict(zip(names, pictures, strict=False)))
    last = tmp_path / "images" / "train/b/1.png"
    last.write_bytes(b"not yet")
    with refused("train/b/1.png"):
        build(of_tree(tmp_path / "images"), tmp_path / "a.lmdb", decode_rgb)
    (tmp_path / "images" / "test/a/0.png").write_bytes(pictures[8])
    last.write_bytes(pictures[7])
    with refused("test/a/0.png", "a.lmdb.part", "has changed since"):
        build(of_tree(tmp_path / "images"), tmp_path / "a.lmdb", decode_rgb)


def test_contents_are_the_same_whatever_they_were_built_from(tmp_path: Path) -> None:
    one = build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    other = build(contents_of(name="another"), tmp_path / "b.lmdb", decode_rgb)
    third = build(contents_of(21), tmp_path / "c.lmdb", decode_rgb)
    assert one.contents == other.contents != third.contents


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "a.lmdb", Path("/proc/nowhere/a.lmdb")):
        with refused("a.lmdb", "cannot be written"):
            build(contents_of(), out, decode_rgb)


def test_a_file_of_images_opens_in_another_process(tmp_path: Path) -> None:
    build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    with ImageStore(tmp_path / "a.lmdb") as store:
        again = pickle.loads(pickle.dumps(store))  # what a worker is given
        assert again.image("train", 3) == store.image("train", 3)
        again.close()


# --- damage -------------------------------------------------------------------------------


def test_verifying_finds_every_flipped_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.lmdb"
    build(contents_of(4), path, decode_rgb)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in (0, len(whole) - 1, *rng.integers(0, len(whole), 30)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        with refused("damaged", "a.lmdb"):
            verify(path)
    path.write_bytes(whole)
    verify(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_is_refused_and_kills_nobody(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.lmdb"
    build(contents_of(200), path, decode_rgb)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with refused("a.lmdb"):
        ImageStore(path)
    with refused("a.lmdb"):
        verify(path)


def test_what_is_no_file_of_images_is_refused(tmp_path: Path) -> None:
    with refused("nothing.lmdb", "mlflow run . -e dataset"):
        ImageStore(tmp_path / "nothing.lmdb")
    (tmp_path / "text.lmdb").write_text("hello " * 1000)
    with refused("text.lmdb", "no LMDB"):
        ImageStore(tmp_path / "text.lmdb")
    other = str(tmp_path / "other.lmdb")
    with lmdb.open(other, subdir=False) as env, env.begin(write=True) as writing:
        writing.put(b"key", b"value")
    with refused("other.lmdb", "no file of images"):
        ImageStore(Path(other))


def test_a_file_without_its_digest_cannot_be_verified(tmp_path: Path) -> None:
    path = tmp_path / "a.lmdb"
    build(contents_of(), path, decode_rgb)
    beside = digest_file(path)
    beside.write_text("none")
    with refused("a.lmdb.sha256", "no sha256"):
        verify(path)
    beside.unlink()
    with refused("no a.lmdb.sha256 beside"):
        verify(path)


@pytest.mark.parametrize("key", ["labels/test", "meta", "train"])
def test_damage_inside_is_one_line(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.lmdb"
    build(contents_of(), path, decode_rgb)
    with lmdb.open(str(path), subdir=False, map_size=2**24) as env, env.begin(write=True) as w:
        name = image_key("train", 2) if key == "train" else key.encode()
        value = bytearray(w.get(name))
        value[-1] ^= 1
        w.put(name, bytes(value))
    with refused("damaged", "a.lmdb"):
        everything(path)


def test_a_card_of_another_format_is_refused() -> None:
    for document in ({}, {"format": "mu.images/9"}, {"format": "mu.images/1", "name": "x"}):
        with pytest.raises(ValueError, match=r"format|missing"):
            Card.from_dict(document)


# --- builds that end badly ----------------------------------------------------------------


def test_a_damaged_image_is_named_and_what_was_written_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "CHUNK", 4)
    rng = np.random.default_rng(1)
    tree = {
        f"{part}/{name}/{n}.png": encoded(rng.integers(0, 256, (8, 8, 3), np.uint8))
        for part in ("train", "test")
        for name in "ab"
        for n in range(5)
    }
    write_tree(tmp_path / "images", tree)
    bad = tmp_path / "images" / "train" / "b" / "4.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:40])
    out = tmp_path / "a.lmdb"
    with refused("train/b/4.png", "damaged"):
        build(of_tree(tmp_path / "images"), out, decode_rgb)
    assert not out.exists()
    bad.write_bytes(whole)
    told: list[int] = []
    build(of_tree(tmp_path / "images"), out, decode_rgb, advance=told.append)
    assert told[0] > 0, "what was written before is not written again"
    assert sum(told) == 20
    build(of_tree(tmp_path / "images"), tmp_path / "b.lmdb", decode_rgb)
    assert everything(out) == everything(tmp_path / "b.lmdb")


def test_another_source_is_not_mixed_into_an_interrupted_build(tmp_path: Path) -> None:
    contents = contents_of(600)

    def stops(name: str, content: bytes) -> np.ndarray:
        if "train image 580" in name:
            raise KeyboardInterrupt
        return decode_rgb(name, content)

    with pytest.raises(KeyboardInterrupt):
        build(contents, tmp_path / "a.lmdb", stops)
    with refused("a.lmdb.part", "something else"):
        build(contents_of(601), tmp_path / "a.lmdb", decode_rgb)
    build(contents, tmp_path / "a.lmdb", decode_rgb)
    assert everything(tmp_path / "a.lmdb") == dict(contents.read(contents.places()))


def test_a_map_that_is_too_small_is_said_and_one_that_grows_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused("map_size=65536"):
        build(contents_of(600), tmp_path / "a.lmdb", decode_rgb, map_size=2**16)
    monkeypatch.setattr(builder, "FIRST_MAP", 2**16)
    build(contents_of(600), tmp_path / "a.lmdb", decode_rgb)
    assert len(everything(tmp_path / "a.lmdb")) == 603


def test_a_full_disk_is_one_line_and_nothing_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with refused("a.lmdb.part", "No space left", "is kept"):
            build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    left = {one.name for one in tmp_path.iterdir()}
    assert left == {"a.lmdb.part", "a.lmdb.part-lock"}, "what takes room for nothing is removed"
    build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    verify(tmp_path / "a.lmdb")


def test_two_builders_do_not_meet(tmp_path: Path) -> None:
    with FileLock(tmp_path / "a.lmdb.lock"), refused("another process", "a.lmdb"):
        build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    card = build(contents_of(), tmp_path / "a.lmdb", decode_rgb)
    assert build(contents_of(), tmp_path / "a.lmdb", decode_rgb) == card, "it is done"
    with refused("is there already", "other contents"):
        build(contents_of(601), tmp_path / "a.lmdb", decode_rgb)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is tidied up."""


@pytest.mark.parametrize("place", ["when its own name is there", "before that"])
def test_killed_when_the_file_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    out, contents = tmp_path / "a.lmdb", contents_of(5)
    with monkeypatch.context() as patch:
        patch.setattr(builder, "_remove" if place.startswith("when") else "file_digest", killed)
        with pytest.raises(Killed):
            build(contents, out, decode_rgb)
    there = out.exists()
    assert there == place.startswith("when")
    decoded: list[str] = []

    def decode(name: str, content: bytes) -> np.ndarray:
        decoded.append(name)
        return decode_rgb(name, content)

    card = build(contents, out, decode)
    assert not decoded
    assert card == verify(out)
    assert {one.name for one in tmp_path.iterdir()} == {"a.lmdb", "a.lmdb.sha256"}
    assert everything(out) == dict(contents.read(contents.places()))


@pytest.mark.parametrize("change", ["an image", "a name", "the card"])
def test_what_a_killed_build_left_is_built_anew_where_it_is_not_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    out, contents = tmp_path / "a.lmdb", contents_of(5)
    with monkeypatch.context() as patch:
        patch.setattr(builder, "file_digest", killed)
        with pytest.raises(Killed):
            build(contents, out, decode_rgb)
    part = out.with_name("a.lmdb.part")
    with lmdb.open(str(part), subdir=False) as env, env.begin(write=True) as writing:
        if change == "an image":
            value = bytearray(writing.get(image_key("train", 2)))
            value[-3] ^= 1
            writing.put(image_key("train", 2), bytes(value))
        elif change == "the card":
            writing.put(META_KEY, writing.get(META_KEY)[:-3])
        else:
            contents = replace(
                contents, names={p: ["x"] * len(contents.labels[p]) for p in contents.labels}
            )
    decoded: list[str] = []
    build(contents, out, lambda *given: decoded.append(given[0]) or decode_rgb(*given))
    assert len(decoded) == len(contents.places())
    assert verify(out).counts
    assert everything(out) == dict(contents.read(contents.places()))


def test_what_a_killed_build_of_more_images_left_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    out = tmp_path / "a.lmdb"
    with monkeypatch.context() as patch:
        patch.setattr(builder, "file_digest", killed)
        with pytest.raises(Killed):
            build(contents_of(9), out, decode_rgb)
    build(contents_of(5), out, decode_rgb)
    contents = contents_of(5)
    assert everything(out) == dict(contents.read(contents.places()))
    with lmdb.open(str(out), subdir=False, readonly=True, lock=False) as env:
        assert env.stat()["entries"] == len(contents.places()) + 3  # two lists of labels, a card


def _build_slowly(path: str) -> None:
    def slow(name: str, content: bytes) -> np.ndarray:
        time.sleep(0.002)
        return decode_rgb(name, content)

    builder.CHUNK = 8
    build(contents_of(800), Path(path), slow)


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again_ends_as_if_it_was_not(tmp_path: Path) -> None:
    program = f"from {__name__} import _build_slowly; _build_slowly({str(tmp_path / 'a.lmdb')!r})"
    out = tmp_path / "a.lmdb"
    rng = np.random.default_rng(0)
    kills = 0
    while not out.exists() and kills < 4:
        with python("-c", program) as process:
            time.sleep(float(rng.uniform(0.3, 1.5)))
            kills += process.poll() is None
        assert process.returncode in (0, -signal.SIGKILL)
        assert not out.exists() or digest_file(out).exists()
    if not out.exists():
        build(contents_of(800), out, decode_rgb)
    build(contents_of(800), tmp_path / "b.lmdb", decode_rgb)
    assert everything(out) == everything(tmp_path / "b.lmdb")
    verify(out)


@pytest.mark.slow
def test_a_file_grows_as_it_fills_and_as_it_is_finished(tmp_path: Path) -> None:
    """Whatever the room that is left when the last image is in."""
    for pages in range(20, 60):
        builder.FIRST_MAP, before = 4096 * pages, builder.FIRST_MAP
        try:
            build(contents_of(200), tmp_path / f"{pages}.lmdb", decode_rgb)
        finally:
            builder.FIRST_MAP = before
        verify(tmp_path / f"{pages}.lmdb")


# --- at scale -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_million_entries_open_without_being_read(tmp_path: Path) -> None:
    program = f"""
import json, numpy as np, lmdb, resource
from pathlib import Path
from mu.data.store.reader import *
from mu.data.store.card import Card
path, n = {str(tmp_path / "big.lmdb")!r}, 1_000_000
with lmdb.open(path, subdir=False, map_size=2**30) as env:
    with env.begin(write=True) as w:
        values = [pack(label, b"x") for label in range(10)]
        w.cursor().putmulti((image_key("train", i), values[i % 10]) for i in range(n))
        labels = np.arange(n) % 10
        w.put(labels_key("train"), labels.astype("<i8").tobytes())
        w.put(labels_key("test"), np.arange(10).astype("<i8").tobytes())
        counts = {{"train": [n // 10] * 10, "test": [1] * 10}}
        three = (0.,) * 3, (1.,) * 3
        card = Card("big", "-", tuple("abcdefghij"), counts, *three, (1, 1), (1, 1), n, "-")
        w.put(META_KEY, json.dumps(card.as_dict()).encode())
"""
    assert run_python("-c", program).returncode == 0
    reading = f"""
import resource, time
import mu.data.store.reader as reader
from pathlib import Path
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
store = reader.ImageStore(Path({str(tmp_path / "big.lmdb")!r}))
seconds = time.perf_counter() - start
assert len(store.labels("train")) == 1_000_000
assert store.image("train", 999_999) == b"x"
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", reading], check=True, capture_output=True, text=True
    )
    _, mebibytes = map(float, done.stdout.split())
    assert mebibytes < 100
