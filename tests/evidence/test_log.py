"""The log against the definition of RFC 9162, written down as it stands there."""

from __future__ import annotations

import hashlib
import json

import pytest

from mu.evidence.canonical import canonical
from mu.evidence.log import (
    Head,
    check_entry,
    consistency_path,
    entry,
    head_text,
    inclusion_path,
    is_consistent,
    root_by_inclusion,
    tree_root,
)
from mu.evidence.signing import key_id
from tests.evidence.made import KEY

LEAVES = [b"%d" % number for number in range(20)]
# The inputs and roots of the tests of Certificate Transparency.
INPUTS = [
    bytes.fromhex(one)
    for one in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def split(size: int) -> int:
    """The largest power of two smaller than a size."""
    return 1 << (size - 1).bit_length() - 1


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha()
    if len(leaves) == 1:
        return sha(b"\0", leaves[0])
    at = split(len(leaves))
    return sha(b"\1", mth(leaves[:at]), mth(leaves[at:]))


def path(place: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    at = split(len(leaves))
    if place < at:
        return [*path(place, leaves[:at]), mth(leaves[at:])]
    return [*path(place - at, leaves[at:]), mth(leaves[:at])]


def subproof(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [mth(leaves)]
    at = split(len(leaves))
    if old <= at:
        return [*subproof(old, leaves[:at], whole), mth(leaves[at:])]
    return [*subproof(old - at, leaves[at:], False), mth(leaves[:at])]


def test_known_roots() -> None:
    assert [tree_root(INPUTS[:size]).hex() for size in range(len(ROOTS))] == ROOTS


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_roots_and_paths_are_those_of_the_definition(size: int) -> None:
    leaves = LEAVES[:size]
    root = tree_root(leaves)
    assert root == mth(leaves)
    for place in range(size):
        found = inclusion_path(leaves, place)
        assert found == path(place, leaves)
        assert root_by_inclusion(leaves[place], place, size, found) == root
    for old in range(1, size + 1):
        found = consistency_path(leaves, old)
        assert found == subproof(old, leaves, True)
        before, now = Head(old, tree_root(leaves[:old])), Head(size, root)
        assert is_consistent(before, now, found)
        assert not is_consistent(before, now, [*found, root])
        assert not is_consistent(Head(old, sha(b"other")), now, found)
        assert not is_consistent(before, Head(size, sha(b"other")), found)
        for at in range(len(found)):
            assert not is_consistent(before, now, [*found[:at], *found[at + 1 :]])
            assert not is_consistent(before, now, [*found[:at], sha(b"other"), *found[at + 1 :]])


def test_a_place_that_is_not_the_leafs_has_another_root() -> None:
    size = 11
    root, leaves = tree_root(LEAVES[:size]), LEAVES[:size]
    for place in range(size):
        found = inclusion_path(leaves, place)
        for other in range(-1, size + 1):
            for leaf in (leaves[place], b"other"):
                try:
                    same = root_by_inclusion(leaf, other, size, found) == root
                except ValueError:
                    same = False
                assert same == (other == place and leaf == leaves[place])
        with pytest.raises(ValueError, match="too short"):
            root_by_inclusion(leaves[place], place, size, found[:-1])
        with pytest.raises(ValueError, match="too long"):
            root_by_inclusion(leaves[place], place, size, [*found, root])


def test_a_log_that_was_rewritten_is_not_consistent() -> None:
    old, changed = LEAVES[:6], [*LEAVES[:3], b"other", *LEAVES[4:9]]
    found = consistency_path(changed, 6)
    assert not is_consistent(Head(6, tree_root(old)), Head(9, tree_root(changed)), found)
    assert not is_consistent(Head(9, tree_root(changed)), Head(6, tree_root(old)), found)
    assert not is_consistent(Head(0, tree_root([])), Head(9, tree_root(changed)), [])


@pytest.mark.parametrize("key", [KEY, None], ids=["signed", "unsigned"])
def test_an_entry_and_that_no_byte_of_it_can_differ(key) -> None:
    leaf, content = LEAVES[4], entry(LEAVES[:7], 4, key)
    signer = key_id(key.public_key()) if key else None
    assert check_entry(content, leaf) == (4, Head(7, tree_root(LEAVES[:7]), signer))
    with pytest.raises(ValueError, match="is not entry 4 of the log"):
        check_entry(content, LEAVES[5])
    for place in range(len(content)):
        for bits in (1, 4, 0x20, 0x80):
            changed = bytearray(content)
            changed[place] ^= bits
            with pytest.raises(ValueError):  # noqa: PT011 - in many words
                check_entry(bytes(changed), leaf)


def test_an_entry_of_another_kind_is_refused() -> None:
    document = json.loads(entry(LEAVES[:7], 4, KEY))
    wrong = {
        "no place": ("index", True),
        "no place in a log": ("size", 4),
        "path is no list": ("path", {}),
        "hash 1 of path": ("path", [3]),
        "root is no sha256": ("root", document["root"].upper()),
        "neither one nor null": ("signature", {}),
        "signature of the head": ("signature", document["root"]),
        "origin is": ("origin", "another log"),
    }
    for words, (name, value) in wrong.items():
        with pytest.raises(ValueError, match=words):
            check_entry(canonical({**document, name: value}), LEAVES[4])
    assert head_text(3, b"\1") == b"mu data-erasure log\n3\n01\n"
