"""The log against the definition of RFC 9162, written down as it stands there."""

from __future__ import annotations

import hashlib
import json

import pytest

from mu.evidence.canonical import canonical
from mu.evidence.log import Log, difference, head_text, line_of, make_log, read_log, tree_root
from mu.evidence.signing import key_id
from tests.evidence.made import KEY

LINES = [line_of(b"%d" % number) for number in range(20)]
# The inputs and roots of the tests of Certificate Transparency.
INPUTS = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
ROOTS = [
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


def mth(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return sha(b"\0", leaves[0])
    at = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two smaller than that
    return sha(b"\1", mth(leaves[:at]), mth(leaves[at:]))


def test_known_roots() -> None:
    assert [tree_root(INPUTS[:size]) for size in range(1, len(ROOTS) + 1)] == ROOTS


@pytest.mark.parametrize("size", range(1, len(LINES) + 1))
def test_roots_are_those_of_the_definition(size: int) -> None:
    lines = LINES[:size]
    assert tree_root(lines) == mth([bytes.fromhex(one) for one in lines]).hex()


def test_a_log_that_grew_and_one_that_was_rewritten() -> None:
    assert difference(LINES[:9], LINES[:9]) == difference(LINES[:9], LINES[:6]) == ""
    changed = [*LINES[:3], LINES[-1], *LINES[4:9]]
    assert difference(changed, LINES[:6]) == (
        f"line 4 is {LINES[-1][:16]}..., and was {LINES[3][:16]}..."
    )
    assert difference(LINES[1:9], LINES[:6]).startswith("line 1 is ")
    assert difference(LINES[:5], LINES[:6]).startswith("line 6 is missing, and was ")


@pytest.mark.parametrize("key", [KEY, None], ids=["signed", "unsigned"])
def test_a_log_and_that_no_byte_of_it_can_differ(key) -> None:
    content = make_log(LINES[:3], key)
    signer = key_id(key.public_key()) if key else None
    assert read_log(content) == Log(LINES[:3], tree_root(LINES[:3]), signer)
    for place in range(len(content)):
        for bits in (1, 4, 0x20, 0x80):
            changed = bytearray(content)
            changed[place] ^= bits
            with pytest.raises(ValueError):  # noqa: PT011 - in many words
                read_log(bytes(changed))


def test_a_log_of_another_kind_is_refused() -> None:
    document = json.loads(make_log(LINES[:7], KEY))
    wrong = {
        "lines is no list": ("lines", {}),
        "or it is empty": ("lines", []),
        "line 2 is no sha256": ("lines", [LINES[0], 3]),
        "root is not that of the 6 lines": ("lines", LINES[:6]),
        "root is not that of the 7 lines": ("root", document["root"].upper()),
        "signature of the root": ("signature", {}),
        "signature of the root has not": ("signature", document["root"]),
        "origin is": ("origin", "another log"),
    }
    for words, (name, value) in wrong.items():
        with pytest.raises(ValueError, match=words):
            read_log(canonical({**document, name: value}))
    assert head_text(3, "01") == b"mu data-erasure log\n3\n01\n"
