"""``mu keygen``, ``mu verify`` and ``mu countersign``: statuses, and what they say."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mu.cli.main import run
from mu.cli.mu import mu
from mu.cli.verifying import REDO
from mu.evidence import log
from mu.evidence.bundle import STATEMENT, Bundle
from mu.evidence.signing import key_id, load_private_key, save_key
from tests.evidence.made import BEFORE, KEY, MODEL, OTHER_KEY, made, recompute

BUNDLE = made()


def replaced(patch: pytest.MonkeyPatch, path: str, function: Callable[..., object]) -> None:
    """Another function in place of that of a module, which is not loaded."""
    name, _, attribute = path.partition(":")
    module = ModuleType(name)
    setattr(module, attribute, function)
    patch.setitem(sys.modules, name, module)


@pytest.fixture(autouse=True)
def _stated_numbers_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(monkeypatch, "mu.erasure.effect:recompute", recompute)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bundle and the keys of two."""
    BUNDLE.write(tmp_path / "evidence")
    (tmp_path / "evidence.zip").write_bytes(BUNDLE.pack())
    save_key(tmp_path / "key.pem", KEY)
    save_key(tmp_path / "auditor.pem", OTHER_KEY)
    return tmp_path


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        run(lambda _: mu, [*map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_key_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key.pem"
    assert call("keygen", path) == 0
    key = load_private_key(path)
    said = capsys.readouterr().out
    assert key_id(key.public_key()) in said
    assert f"{tmp_path}/key.pub.pem" in said
    assert call("keygen", path) == 2
    assert "is there already" in capsys.readouterr().err
    assert load_private_key(path).private_numbers() == key.private_numbers()


@pytest.mark.parametrize("name", ["evidence", "evidence.zip"])
def test_a_bundle_verifies(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", folder / name) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^  (\w+) +(ok|WRONG) ", said, re.MULTILINE) == [
        (name, "ok")
        for name in (
            "files", "digests", "statement", "signatures", "log", "times", "recomputed", "verdict",
        )
    ]  # fmt: skip
    end = " ".join(said[said.index("It verifies.") :].split())
    assert end.startswith("It verifies. Somebody whose key is shown above states this")
    assert "only --key can tell" in end
    assert "It does not prove that the records were forgotten" in end
    assert call("verify", folder / name, "--key", folder / "key.pub.pem") == 0
    assert "Who has the given key states this" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_changed_bundle_does_not(
    packed: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / ("evidence.zip" if packed else "evidence/page.html")
    path.write_bytes(path.read_bytes().replace(b"page.html: what", b"page.html: That"))
    assert call("verify", path if packed else path.parent) == 1
    said = capsys.readouterr().out
    check = "files" if packed else "digests"
    assert "WRONG  page.html" in said
    assert f"It does not verify ({check}), so it proves nothing." in said


def test_keys_that_are_not_those_of_the_bundle(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("verify", folder / "evidence", "--key", folder / "auditor.pub.pem") == 1
    assert "is not signed by key" in capsys.readouterr().out
    assert call("verify", folder / "evidence", "--key", folder / "key.pem") == 2
    assert "give the public one that belongs to it, key.pub.pem" in capsys.readouterr().err
    assert call("verify", folder / "evidence", "--key", folder / "no.pem") == 2
    assert call("verify", folder / "nothing") == 2
    assert "there is no bundle" in capsys.readouterr().err
    assert call("verify") == 2


def test_a_bundle_without_a_signature(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "unsigned"
    made(None).write(path)
    assert call("verify", path) == 1
    assert "it is not signed; only mu verify --unsigned accepts that" in capsys.readouterr().out
    assert call("verify", path, "--unsigned") == 0
    assert "anybody can have made it" in capsys.readouterr().out
    assert call("countersign", path, "--key", folder / "key.pem") == 1


@pytest.mark.parametrize("name", ["evidence", "evidence.zip"])
def test_an_auditor_signs_too(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / name
    assert call("countersign", path, "--key", folder / "auditor.pem") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{path} is signed by key {key_id(OTHER_KEY.public_key())}, too." in said
    keys = [word for one in ("key", "auditor") for word in ("--key", folder / f"{one}.pub.pem")]
    assert call("verify", path, *keys) == 0
    assert " ".join(capsys.readouterr().out.split()).count("as given") == 2
    before = Bundle.read(path)
    assert call("countersign", path, "--key", folder / "auditor.pem") == 2
    assert "by this key already" in capsys.readouterr().err
    assert Bundle.read(path) == before


def test_what_does_not_verify_is_not_countersigned(folder: Path) -> None:
    page = folder / "evidence" / "page.html"
    page.write_text("another")
    envelope = (folder / "evidence" / "statement.dsse.json").read_bytes()
    assert call("countersign", folder / "evidence", "--key", folder / "auditor.pem") == 1
    assert (folder / "evidence" / "statement.dsse.json").read_bytes() == envelope


def test_a_bundle_of_another_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in MODEL.items():
        (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / name).write_bytes(content)
    assert call("verify", folder / "evidence", "--model", folder / "model") == 0
    (folder / "model" / "mask" / "mask.safetensors").write_bytes(b"another")
    assert call("verify", folder / "evidence", "--model", folder / "model") == 1
    assert "a bundle of another model: mask/mask.safetensors" in capsys.readouterr().out
    assert call("verify", folder / "evidence", "--model", folder / "nowhere") == 2


def test_a_log_that_was_rewritten_since_an_older_bundle(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [*BEFORE, log.line_of(BUNDLE.files[STATEMENT])]
    newer = made(KEY, "request.entries", 4)
    own = log.line_of(newer.files[STATEMENT])
    for name, before in (("grown", lines), ("rewritten", [*lines[1:], lines[0]])):
        newer.with_log(log.make_log([*before, own], KEY)).write(folder / name)
    assert call("verify", folder / "grown", "--after", folder / "evidence.zip") == 0
    assert "the log begins with the older one, of 4, and only grew" in capsys.readouterr().out
    for name, older in (("rewritten", "evidence"), ("evidence", "grown")):
        assert call("verify", folder / name, "--after", folder / older) == 1
        said = " ".join(capsys.readouterr().out.split())
        assert f"line {1 if name == 'rewritten' else 5} is" in said
        assert "It does not verify (after)" in said
    (folder / "evidence.zip").write_bytes(b"PK")
    assert call("verify", folder / "grown", "--after", folder / "evidence.zip") == 1
    assert call("verify", folder / "grown", "--after", folder / "nowhere") == 2


def test_no_line_of_words_is_wider_than_a_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("verify", folder / "evidence")
    call("keygen", folder / "new.pem")
    call("countersign", folder / "evidence", "--key", folder / "auditor.pem")
    wide = [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]
    assert [line for line in wide if len(line.split()) > 2] == []  # a name, and an ID or a path


def test_unlearning_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def redo(stated: Mapping[str, Any], data_dir: str | None) -> str:
        asked.append((stated["action"]["method"], data_dir))
        return "" if data_dir is None else "other weights came out"

    replaced(monkeypatch, REDO, redo)
    assert call("verify", folder / "evidence", "--deep") == 0
    assert "unlearning again gives the same weights" in capsys.readouterr().out
    assert call("verify", folder / "evidence", "--deep", "--data-dir", folder) == 1
    assert "It does not verify (deep)" in capsys.readouterr().out
    assert asked == [("l1_sparse", None), ("l1_sparse", str(folder))]
