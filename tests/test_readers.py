"""The guarded readers: what is whole is read as the libraries read it; what is not, is told."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from mu.data.files.cache import load_cached, store_cached
from mu.readers.arrays import read_npy, read_npz
from mu.readers.documents import DEEPEST, read_json, read_yaml
from mu.readers.tensors import read_tensors
from tests.helpers import laws

ARRAYS = {
    "numbers": np.arange(6, dtype=np.int64),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(True),
    "fields": np.zeros(2, np.dtype([("pixels", np.uint8, (3, 2, 2)), ("label", np.int64)])),
    "texts": np.array(["a", "ü"]),
}
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_is_read_as_numpy_reads_it(array, tmp_path):
    (tmp_path / "a.npy").write_bytes(saved(array))

    for found in (read_npy(saved(array)), read_npy(tmp_path / "a.npy")):
        assert np.array_equal(found, np.load(tmp_path / "a.npy", allow_pickle=False))
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.flags.writeable


@laws(60)
@given(data=st.data())
def test_an_array_that_was_cut_or_extended_is_refused(data):
    content = saved(ARRAYS["numbers"])
    place = data.draw(st.integers(0, len(content) - 1))
    for damaged in (content[:place], content + content[:1]):
        with pytest.raises(ValueError):  # noqa: PT011
            read_npy(damaged)


def test_arrays_of_an_archive_are_read_and_counted_before_they_are_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=ARRAYS["numbers"], b=ARRAYS["fields"])
    found = read_npz((tmp_path / "a.npz").read_bytes())
    assert np.array_equal(found["a"], ARRAYS["numbers"])
    assert np.array_equal(found["b"], ARRAYS["fields"])

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(2**22))
    # What the archive's own list says, of the one member: 4 GiB.
    content = file.getvalue().replace((2**22).to_bytes(4, "little"), b"\0\0\0\xff")
    with pytest.raises(ValueError, match="would take"):
        read_npz(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<i8, ",  # the tokenizer of Python gives up
        saved(ARRAYS["numbers"])[:-1],
        saved(ARRAYS["numbers"]).replace(b"(6,)", b"(6e)"),
        saved(ARRAYS["numbers"]).replace(b"<i8", b"|O8"),
    ],
    ids=["nothing", "header", "cut", "shape", "objects"],
)
def test_a_cached_array_that_is_damaged_is_made_again(content, tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(content)
    assert load_cached(tmp_path / "a.npy") is None

    store_cached(tmp_path / "a.npy", ARRAYS["numbers"])
    assert np.array_equal(load_cached(tmp_path / "a.npy"), ARRAYS["numbers"])


@laws(60)
@given(tree=TREES)
def test_plain_documents_are_read_as_they_were_written(tree):
    assert read_json(json.dumps(tree)) == tree
    assert read_yaml(yaml.safe_dump(tree)) == tree


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1, 900, 100_000])
def test_documents_are_not_nested_more_deeply_than_makes_sense(depth):
    text = "[" * depth + "]" * depth
    if depth <= DEEPEST:
        assert read_json(text) == read_yaml(text) == json.loads(text)
        return
    for read in (read_json, read_yaml):
        with pytest.raises(ValueError, match=r"nested|letters"):
            read(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: \x01", "special characters"),
        ("a: !!timestamp x", "timestamp"),
        ("a: !!python/object/apply:os.getcwd []", "python/object"),
        ("&a [*a]", "itself"),
        ("a: 1\na: 2", "'a' twice.*line 2"),
        ("? [1]\n: 2", "unhashable"),
        ("a: 1" + ":1" * 500, "digits"),
        ("a: [" + "1, " * 200_000 + "]", "letters"),
        ("--- 1\n--- 2", "document"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why):
        read_yaml(text)


def test_an_alias_counts_as_what_it_stands_for():
    nine = ", ".join(["*{}"] * 9)
    lines = ["a: &a [x, x, x]"]
    lines += [f"{n}: &{n} [{nine.replace('{}', p)}]" for p, n in zip("abcdef", "bcdefg")]  # noqa: B905
    with pytest.raises(ValueError, match="more than 100,000 values"):
        read_yaml("\n".join(lines))
    assert read_yaml("a: &a [1, 2]\nb: *a\nc: *a") == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}


def test_a_date_is_a_text():
    assert read_yaml("a: 2020-01-31\nb: 2020-99-99") == {"a": "2020-01-31", "b": "2020-99-99"}


def test_tensors_are_read_with_what_stands_beside_them():
    tensors = {"a": torch.arange(6).view(2, 3), "b": torch.zeros(0), "c": torch.ones(2).bfloat16()}
    found, meta = read_tensors(save(tensors, metadata={"x": "y"}))

    assert meta == {"x": "y"}
    assert {name: one.dtype for name, one in found.items()} == {
        name: one.dtype for name, one in tensors.items()
    }
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert read_tensors(save(tensors))[1] == {}


@laws(40)
@given(data=st.data())
def test_a_file_of_tensors_that_was_cut_is_refused(data):
    content = save({"a": torch.arange(6)})
    with pytest.raises(ValueError):  # noqa: PT011
        read_tensors(content[: data.draw(st.integers(0, len(content) - 1))])
