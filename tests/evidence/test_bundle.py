"""Bundles: the same from a folder and from a zip, and nothing else is read or written."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from mu.errors import UserError
from mu.evidence.bundle import ENVELOPE, LOG, PUBLIC_KEY, STATEMENT, Bundle, write_envelope
from mu.evidence.dsse import verified
from mu.evidence.packing import unpack
from mu.evidence.signing import key_id, public_pem
from mu.evidence.statement import read_statement
from tests.evidence.made import FILES, KEY, OTHER_KEY, SUBJECTS, made, predicate

BUNDLE = made()


def test_what_is_in_a_bundle() -> None:
    signed, unsigned = made(), made(None)
    assert {*signed.files} == {*FILES, STATEMENT, ENVELOPE, LOG, PUBLIC_KEY}
    assert {*unsigned.files} == {*FILES, STATEMENT, LOG}
    subjects, found = read_statement(signed.files[STATEMENT])
    assert found == predicate()
    assert {*subjects} == {*FILES, PUBLIC_KEY, *SUBJECTS}
    assert signed.files[PUBLIC_KEY] == public_pem(KEY.public_key())
    assert verified(signed.files[ENVELOPE])[0] == signed.files[STATEMENT]


def test_what_no_bundle_is_made_of() -> None:
    less = {name: content for name, content in FILES.items() if name != "records.json"}
    wrong = [
        ("records.json", less, SUBJECTS),
        ("statement.json is made here", {**FILES, STATEMENT: b""}, SUBJECTS),
        ("model/", {**FILES, "model/a": b""}, SUBJECTS),
        ("model/", FILES, {"page.txt": "0f" * 32}),
        ("no relative path", {**FILES, "../a": b""}, SUBJECTS),
        ("sha256", FILES, {"model/a": "0f"}),
    ]
    for words, files, subjects in wrong:
        with pytest.raises(ValueError, match=words):
            Bundle.make(files, subjects, predicate(), KEY)


def test_a_folder_and_a_zip_hold_the_same(tmp_path: Path) -> None:
    further = Bundle({**BUNDLE.files, "plots/ä.png": b"\0" * 9})
    further.write(tmp_path / "new" / "evidence")
    packed = tmp_path / "evidence.zip"
    packed.write_bytes(further.pack())
    assert Bundle.read(tmp_path / "new" / "evidence") == Bundle.read(packed) == further
    assert os.listdir(tmp_path / "new") == ["evidence"]  # noqa: PTH208
    assert Bundle(dict(reversed(further.files.items()))).pack() == further.pack()


def test_other_programs_read_the_zip() -> None:
    with zipfile.ZipFile(io.BytesIO(Bundle({**BUNDLE.files, "ä": b"1"}).pack())) as archive:
        assert archive.testzip() is None
        assert {one: archive.read(one) for one in archive.namelist()} == {**BUNDLE.files, "ä": b"1"}
        assert all(stat.S_ISREG(one.external_attr >> 16) for one in archive.infolist())


def test_a_folder_that_holds_anything_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    for path in (tmp_path, tmp_path / "note"):
        with pytest.raises(UserError, match="give a new folder"):
            BUNDLE.write(path)
    assert os.listdir(tmp_path) == ["note"]  # noqa: PTH208
    (tmp_path / "empty").mkdir()
    BUNDLE.write(tmp_path / "empty")
    assert Bundle.read(tmp_path / "empty") == BUNDLE


def test_nothing_half_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = Path.write_bytes, []

    def third_time_full(self: Path, content: bytes) -> int:
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", third_time_full)
    with pytest.raises(UserError, match="No space left"):
        BUNDLE.write(tmp_path / "evidence")
    assert not os.listdir(tmp_path)  # noqa: PTH208


def test_links_and_special_files_are_refused_by_name(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path / "evidence")
    outside = tmp_path / "page.html"
    outside.write_bytes(BUNDLE.files["page.html"])
    page = tmp_path / "evidence" / "page.html"
    page.unlink()
    page.symlink_to(outside)
    with pytest.raises(ValueError, match=r"page\.html is a symbolic link"):
        Bundle.read(tmp_path / "evidence")
    page.unlink()
    (tmp_path / "evidence" / "model").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="model is a symbolic link"):
        Bundle.read(tmp_path / "evidence")
    (tmp_path / "evidence" / "model").unlink()
    os.mkfifo(page)
    with pytest.raises(ValueError, match=r"page\.html is no plain file"):
        Bundle.read(tmp_path / "evidence")
    with pytest.raises(UserError, match="there is no bundle"):
        Bundle.read(tmp_path / "missing")


def zipped(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)
    return file.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr = (stat.S_IFLNK | 0o777) << 16
    return found


def test_zips_that_mu_did_not_pack(tmp_path: Path) -> None:
    wrong = {
        r"'/etc/passwd' is no relative path": zipped(("/etc/passwd", b"")),
        r"'\.\./page.html' is no relative path": zipped(("../page.html", b"")),
        "'a//b' is no relative path": zipped(("a//b", b"")),
        "'C:a' is no relative path": zipped(("C:a", b"")),
        "not packed by mu": zipped(("page.html", b"0" * 10**6), method=zipfile.ZIP_DEFLATED),
        "directory says of page.html": zipped((link("page.html"), b"/etc/passwd")),
        "not sorted": zipped(("b", b""), ("a", b"")),
        "no zip": b"PK\5\6" + bytes(18),
        "no zip of": b"",
    }
    for words, content in wrong.items():
        with pytest.raises(ValueError, match=words):
            unpack(content)
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped(("a", b"1"), ("a", b"2"))
    with pytest.raises(ValueError, match="a is in it twice"):
        unpack(twice)
    (tmp_path / "evidence.zip").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="no zip of a bundle"):
        Bundle.read(tmp_path / "evidence.zip")


def test_no_byte_of_a_zip_can_differ() -> None:
    packed = Bundle({"a": b"some bytes", "ä/b": b"", "c": b"\0" * 3}).pack()
    for place in range(len(packed)):
        for bits in (1, 0x80):
            changed = bytearray(packed)
            changed[place] ^= bits
            with pytest.raises(ValueError):  # noqa: PT011 - in many words
                unpack(bytes(changed))
        with pytest.raises(ValueError):  # noqa: PT011
            unpack(packed[:place])
    with pytest.raises(ValueError, match="further bytes"):
        unpack(packed + b"\0")
    changed = packed.replace(b"some bytes", b"Some bytes")
    with pytest.raises(ValueError, match="a: its bytes were changed"):
        unpack(changed)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_countersignature_is_written_in_place(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "evidence"
    path.write_bytes(BUNDLE.pack()) if packed else BUNDLE.write(path)
    write_envelope(path, Bundle.read(path).countersigned(OTHER_KEY))
    found = Bundle.read(path)
    signers = [key_id(one.public_key()) for one in (KEY, OTHER_KEY)]
    assert verified(found.files[ENVELOPE])[1] == signers
    assert {**found.files, ENVELOPE: b""} == {**BUNDLE.files, ENVELOPE: b""}
    assert os.listdir(tmp_path) == ["evidence"]  # noqa: PTH208
    with pytest.raises(ValueError, match="not signed"):
        made(None).countersigned(OTHER_KEY)
