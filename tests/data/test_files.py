"""Forgetting by file names: what a list means, exact copies, and every refusal."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.data.forget_request import ForgetRequest
from mu.data.manifest import Manifest, PartFiles
from mu.data.splits import Split
from tests.helpers import laws, make_dataset, refused

NAMES = [
    "train/cat/000.png", "train/cat/001.png", "train/cat/a [1].png",
    "train/dog/000.png", "train/dog/deep/002.png", "train/dog/003.png",
]  # fmt: skip
LABELS = [0, 0, 0, 1, 1, 1]
BYTES = [b"a", b"b", b"c", b"d", b"b", b"f"]  # dog/deep/002.png is a copy of cat/001.png
ALL = Split(np.arange(6), np.array([], np.int64), np.array([], np.int64))
HELD = Split(np.array([0, 1, 3, 4]), np.array([2]), np.array([5]))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def data(contents=BYTES, *, lazily=False):
    """A data set of six files; ``lazily``, their bytes are read when they are needed."""
    reads = []

    def read(number):
        reads.append(number)
        return contents[number]

    if lazily:
        train = PartFiles(NAMES, (), read, lambda number: len(contents[number]))
    else:
        train = PartFiles(NAMES, [sha256(one) for one in contents])
    test = PartFiles([f"test/cat/{n}.png" for n in range(20)], ["0" * 64] * 20)
    dataset = make_dataset(LABELS, classes=2, names=("cat", "dog"))
    return replace(dataset, manifest=Manifest("/pictures", train, test)), reads


@pytest.fixture
def listing(tmp_path):
    """Writes a list and gives the forget set that it means."""

    def cut(text, split=ALL, *, name="list.txt", duplicates="keep", dataset=None):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        request = ForgetRequest.parse(f"files:{file}", duplicates=duplicates)
        return request.cut(dataset or data()[0], split, 0).forget.tolist()

    return cut


# --- what an entry means ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("train/cat/001.png", [1]),
        ("cat/001.png", [1]),
        ("001.png", [1]),
        ("./train/cat/001.png\n\n  dog/003.png \n", [1, 5]),
        ("/pictures/train/cat/001.png", [1]),
        ("train\\cat\\001.png", [1]),
        ("train/cat/a [1].png", [2]),  # a name before it is a pattern
        ("cat/*", [0, 1, 2]),
        ("train/dog/*", [3, 4, 5]),
        ("00?.png", [0, 1, 3, 4, 5]),
        ("*/00[23].png", [4, 5]),
        (sha256(b"b"), [1, 4]),
        (sha256(b"f").upper(), [5]),
        ("cat/000.png\ncat/00*\n" + sha256(b"a"), [0, 1]),
    ],
)
def test_an_entry(listing, text, numbers):
    assert listing(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("file,subject\ncat/000.png,p1\ndog/003.png,p2\n", [0, 5]),
        ("subject;File\np1;cat/000.png\n", [0]),
        ("id\tpath\n7\tcat/001.png\n", [1]),
        ('name\n"cat/a [1].png"\n', [2]),
        (f"file,sha256\nwrong.png,{sha256(b'c')}\n", [2]),  # bytes say more than names
        ("\ufefffile\ncat/000.png\n", [0]),
    ],
)
def test_a_table(listing, text, numbers):
    assert listing(text, name="list.csv") == numbers


def test_a_pattern_takes_what_was_trained_on(listing):
    assert listing("cat/*", HELD) == [0, 1]
    assert listing("dog/*", HELD) == [3, 4]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("000.png", ("'000.png'", "2 training images", NAMES[0], NAMES[3], "more of the path")),
        ("cat/9.png\ndog/8.png", ("'cat/9.png' (line 1), 'dog/8.png' (line 2)", NAMES[0])),
        ("bird/*", ("'bird/*' (line 1)", "/pictures")),
        ("0" * 64, ("0" * 64,)),
        ("test/cat/3.png", ("test images", "never trained on")),
        ("cat/a [1].png", ("2 = train/cat/a [1].png", "validation part")),
        ("dog/003.png", ("5 = train/dog/003.png", "not trained on")),
        ("", ("names no files",)),
        ("\n \n", ("names no files",)),
    ],
)
def test_what_no_list_can_mean(listing, text, texts):
    with refused(*texts):
        listing(text, HELD)


def test_columns_that_are_not_known_are_named(listing):
    with refused("who, what", "file", "sha256"):
        listing("who,what\np1,cat/000.png\n", name="list.csv")
    with refused("line 3", "no column file"):
        listing("subject,file\np1,cat/000.png\np2\n", name="list.csv")


def test_files_that_are_no_list(tmp_path):
    dataset, _ = data()
    (tmp_path / "picture.png").write_bytes(bytes(range(256)))
    for name, text in (("none.txt", "no list"), (".", "folder"), ("picture.png", "no text file")):
        with refused(text):
            ForgetRequest.parse(f"files:{tmp_path / name}").cut(dataset, ALL, 0)


def test_data_without_files_has_no_names(tmp_path: Path):
    (tmp_path / "list").write_text("0.png")
    with refused("made_up", "indices:FILE"):
        ForgetRequest.parse(f"files:{tmp_path / 'list'}").cut(make_dataset(), ALL, 0)


# --- copies -------------------------------------------------------------------------------


@pytest.mark.parametrize("lazily", [False, True])
def test_copies_are_forgotten_too_or_kept(listing, lazily):
    dataset, _ = data(lazily=lazily)
    assert listing("cat/001.png", duplicates="forget", dataset=dataset) == [1, 4]
    assert listing("cat/001.png", duplicates="keep", dataset=dataset) == [1]
    found = ForgetRequest.parse("class:cat").cut(dataset, ALL, 0)
    assert (found.forget.tolist(), found.copies.tolist()) == ([0, 1, 2, 4], [4])
    assert "4 = train/dog/deep/002.png" in found.copies_in_words()
    kept = ForgetRequest.parse("class:cat", duplicates="keep").cut(dataset, ALL, 0)
    assert (kept.forget.tolist(), kept.copies.tolist()) == ([0, 1, 2], [4])
    assert "stay in the retain set" in kept.copies_in_words()


def test_copies_that_were_not_trained_on_do_not_matter():
    dataset, _ = data()
    apart = Split(np.array([0, 1, 3, 5]), np.array([4]), np.array([2]))
    found = ForgetRequest.parse("class:cat").cut(dataset, apart, 0)
    assert (found.forget.tolist(), found.copies.tolist()) == ([0, 1], [])
    assert found.copies_in_words() == ""


def test_only_files_of_one_size_are_read():
    dataset, reads = data([b"a", b"bb", b"ccc", b"dddd", b"ee", b"ffffff"], lazily=True)
    assert not len(dataset.manifest.train.copies(np.array([1]), np.arange(6)))
    assert set(reads) == {1, 4}


@laws()
@given(
    st.lists(st.sampled_from([b"a", b"b", b"cc"]), min_size=6, max_size=6),
    st.sets(st.integers(0, 5), min_size=1),
    st.sets(st.integers(0, 5)),
)
def test_copies_by_comparing_all_with_all(contents, of, among):
    expected = [n for n in sorted(among - of) if any(contents[n] == contents[m] for m in of)]
    for lazily in (False, True):
        files = data(contents, lazily=lazily)[0].manifest.train
        found = files.copies(np.array(sorted(of)), np.array(sorted(among), np.int64))
        assert found.tolist() == expected
