"""Verifying: a whole bundle passes, and of a changed one what is wrong is named."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mu.evidence import log
from mu.evidence.bundle import ENVELOPE, LOG, PUBLIC_KEY, STATEMENT, UNLISTED, Bundle
from mu.evidence.differences import differences
from mu.evidence.dsse import countersign, sign
from mu.evidence.model_files import model_check
from mu.evidence.signing import key_id, new_key, public_pem
from mu.evidence.verify import Check, checks
from tests.evidence.made import (
    FILES,
    KEY,
    MODEL,
    OTHER_KEY,
    RECORDS,
    SUBJECTS,
    logged,
    made,
    predicate,
    recompute,
)

SIGNED, UNSIGNED = made(), made(None)
NAMES = ["files", "digests", "statement", "signatures", "log", "times", "recomputed", "verdict"]
MANY = 10_000 if os.environ.get("MU_LAWS") == "full" else 2_000
Files = Mapping[str, bytes]


def wrong(bundle: Bundle, **options) -> dict[str, str]:
    """What is wrong with a bundle, by the name of the check."""
    done = checks(bundle, **{"recompute": recompute, **options})
    return {check.name: check.detail for check in done if not check.ok}


def details(bundle: Bundle, **options) -> dict[str, str]:
    done = list(checks(bundle, **{"recompute": recompute, **options}))
    assert all(check.ok for check in done), done
    return {check.name: check.detail for check in done}


def first_wrong(files: Files) -> Check | None:
    done = checks(Bundle(files), unsigned=True, recompute=recompute)
    return next((check for check in done if not check.ok), None)


def test_a_whole_bundle() -> None:
    said = details(SIGNED)
    assert list(said) == NAMES
    assert "7d444840" in said["statement"]
    assert said["signatures"] == f"by key {key_id(KEY.public_key())} (nobody said whose)"
    assert said["log"].startswith("line 4, the last one, root ")
    assert said["verdict"] == "forgotten: no record is found by the attack"
    said = details(SIGNED, keys=[KEY.public_key()])
    assert said["signatures"] == f"by key {key_id(KEY.public_key())} (as given)"
    assert list(details(SIGNED, recompute=None)) == NAMES[:-2]


def test_a_bundle_that_is_not_signed() -> None:
    assert details(UNSIGNED, unsigned=True)["signatures"] == "not signed"
    assert wrong(UNSIGNED) == {
        "signatures": "it is not signed; only mu verify --unsigned accepts that"
    }
    assert wrong(UNSIGNED, unsigned=True, keys=[KEY.public_key()]) == {
        "signatures": "it is not signed"
    }


def test_countersigned_by_two_it_is_verified_with_each() -> None:
    bundle = SIGNED.countersigned(OTHER_KEY).countersigned(new_key())
    own, other = KEY.public_key(), OTHER_KEY.public_key()
    for keys in ([own], [other], [own, other]):
        assert details(bundle, keys=keys)["signatures"].count("as given") == len(keys)
    strange = new_key().public_key()
    for keys in ([strange], [own, strange]):
        assert f"not signed by key {key_id(strange)}" in wrong(bundle, keys=keys)["signatures"]


def flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed)


@pytest.mark.parametrize(
    "bundle",
    [SIGNED.countersigned(OTHER_KEY), UNSIGNED],
    ids=["signed", "unsigned"],
)
def test_corruptions_of_a_byte_are_refused(bundle: Bundle) -> None:
    """Each place is as likely, in whichever file it is; the file is named, or what holds of it."""
    chance = random.Random(0)
    names = list(bundle.files)
    sizes = [len(content) for content in bundle.files.values()]
    for name in chance.choices(names, sizes, k=MANY):
        found = first_wrong({**bundle.files, name: flipped(bundle.files[name], chance)})
        assert found is not None, name
        if name != STATEMENT:  # which may state another digest for a file
            assert name in found.detail


def test_corruptions_of_a_byte_of_the_zip_are_refused() -> None:
    packed, chance = SIGNED.pack(), random.Random(1)
    for _ in range(MANY):
        with pytest.raises(ValueError):  # noqa: PT011 - in many words
            Bundle.of_zip(flipped(packed, chance))


def test_every_truncation_is_refused() -> None:
    for name, content in SIGNED.files.items():
        for size in {0, 1, len(content) // 2, len(content) - 1}:
            assert first_wrong({**SIGNED.files, name: content[:size]}), (name, size)
        assert first_wrong({**SIGNED.files, name: content + b"\n"}), name


def without(*names: str) -> dict[str, bytes]:
    return {name: content for name, content in SIGNED.files.items() if name not in names}


def swapped(one: str, other: str) -> dict[str, bytes]:
    return {**SIGNED.files, one: SIGNED.files[other], other: SIGNED.files[one]}


ELSEWHERE = made(place="request.id", value="00000000-9dc0-41d1-b245-5ffdce74fad2")
STRANGE = made(OTHER_KEY)
CHANGED: dict[str, tuple[Callable[[], Files], str, str]] = {
    "a file is missing": (lambda: without("letter.txt"), "files", "letter.txt is missing"),
    "the log is missing": (lambda: without(LOG), "files", "log.json is missing"),
    "no statement": (lambda: without(STATEMENT), "files", "statement.json is missing"),
    "a file more": (
        lambda: {**SIGNED.files, "more.txt": b""},
        "files",
        "more.txt is no part of the bundle",
    ),
    "a file renamed": (
        lambda: {**without("page.html"), "page2.html": FILES["page.html"]},
        "files",
        "page.html is missing; page2.html is no part of the bundle",
    ),
    "two files swapped": (
        lambda: swapped("page.html", "letter.txt"),
        "digests",
        "letter.txt was changed",
    ),
    "the signature removed": (
        lambda: without(ENVELOPE),
        "files",
        "statement.dsse.json is missing",
    ),
    "signature and key removed": (
        lambda: without(ENVELOPE, PUBLIC_KEY),
        "files",
        "public_key.pem is missing; statement.dsse.json is missing",
    ),
    "another statement": (
        lambda: {**SIGNED.files, STATEMENT: ELSEWHERE.files[STATEMENT]},
        "signatures",
        "signs another statement",
    ),
    "another envelope": (
        lambda: {**SIGNED.files, ENVELOPE: sign(SIGNED.files[STATEMENT], OTHER_KEY)},
        "signatures",
        "public_key.pem is not the key that signed first",
    ),
    "another signed first": (
        lambda: {
            **SIGNED.files,
            ENVELOPE: countersign(sign(SIGNED.files[STATEMENT], OTHER_KEY), KEY),
        },
        "signatures",
        "public_key.pem is not the key that signed first",
    ),
    "signed by somebody else": (
        lambda: {**STRANGE.files, PUBLIC_KEY: public_pem(KEY.public_key())},
        "digests",
        "public_key.pem was changed",
    ),
    "another's log": (
        lambda: {**SIGNED.files, LOG: ELSEWHERE.files[LOG]},
        "log",
        "its last line is not the sha256",
    ),
    "a log without a signature": (
        lambda: logged(SIGNED, None).files,
        "log",
        "not signed by a key that signed the statement",
    ),
    "a log signed by somebody else": (
        lambda: logged(SIGNED, OTHER_KEY).files,
        "log",
        "not signed by a key that signed the statement",
    ),
    "only the log signed": (lambda: logged(UNSIGNED, KEY).files, "log", "it was removed"),
    "a line after its own": (
        lambda: (
            SIGNED.with_log(
                log.make_log([log.line_of(SIGNED.files[STATEMENT]), log.line_of(b"other")], KEY)
            ).files
        ),
        "log",
        "its last line is not the sha256",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_changed_is_named(name: str) -> None:
    change, check, words = CHANGED[name]
    found = wrong(Bundle(change()), unsigned=True)
    assert words in found[check]


def test_a_statement_whose_signer_leaves_out_the_rest_is_refused() -> None:
    """It is signed by its key, and still no bundle: a file that people read is not listed."""
    from mu.evidence.statement import make_statement, read_subjects

    listed = read_subjects(SIGNED.files[STATEMENT])
    del listed["page.html"]
    statement = make_statement(listed, predicate())
    signed = {STATEMENT: statement, ENVELOPE: sign(statement, KEY)}
    bundle = logged(Bundle({**without("page.html"), **signed}), KEY)
    assert wrong(bundle, recompute=None) == {"files": "the statement does not name page.html"}


def test_a_statement_with_another_schema() -> None:
    content = SIGNED.files[STATEMENT].replace(b'"forgotten",\n   "no_baseline"', b"")
    content = content.replace(b'"kind": "erasure"', b'"kind": "other"')
    signed = {STATEMENT: content, ENVELOPE: sign(content, KEY)}
    found = wrong(logged(Bundle({**SIGNED.files, **signed}), KEY))
    assert list(found) == ["statement"]
    assert "predicate.request.kind: 'other' is not one of" in found["statement"]


def later(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("action.startedAt", "2026-11-03T08:59:59Z", "receivedAt 2026-11-03T09:00:00Z is after"),
        ("action.unlearnedAt", "2026-11-04T08:59:59.999Z", "startedAt 2026-11-04T09:00:00Z is"),
        ("action.unlearnedAt", later(1.1), "a clock runs ahead"),
        ("action.unlearnedAt", "2026-11-31T09:00:00Z", "is no time"),
        (
            "scope.leftovers",
            [{"kind": "cache", "where": "here", "removedAt": later(2)}],
            "scope.leftovers[0].removedAt",
        ),
    ],
    ids=["received", "started", "ahead", "none", "leftover"],  # a time of now is no name of a test
)
def test_times_that_cannot_be(place: str, value: object, words: str) -> None:
    found = wrong(made(place=place, value=value))
    assert list(found) == ["times"]
    assert words in found["times"]


def test_a_clock_that_runs_ahead_a_little_is_none() -> None:
    details(made(place="action.unlearnedAt", value=later(0.9)))


@pytest.mark.parametrize(
    ("place", "value", "check", "words"),
    [
        ("effect.after.UA", 99.0, "recomputed", "effect.after.UA is stated as 99.0, and 87.5"),
        ("effect.records.residual", 1, "recomputed", "effect.records.residual is stated as 1"),
        ("effect.notTested", [], "recomputed", "effect.notTested is stated as 0 entries"),
        ("effect.oracle", {"UA": 3.0}, "recomputed", "effect.oracle is stated as {'UA': 3.0}"),
        ("verdict.word", "no_baseline", "verdict", "verdict.word is stated as 'no_baseline'"),
        ("verdict.reasons", ["because"], "verdict", "verdict.reasons[0] is stated as 'because'"),
    ],
)
def test_a_number_that_does_not_come_out_is_named(
    place: str, value: object, check: str, words: str
) -> None:
    found = wrong(made(place=place, value=value))
    assert list(found) == [check]
    assert words in found[check]


def test_records_that_do_not_come_out_are_named() -> None:
    def otherwise(files: Files, stated: Mapping[str, object]) -> dict[str, object]:
        records = [{**RECORDS[0], "fprAfter": 3.0}, RECORDS[1]]
        return {**recompute(files, stated), "records": records}

    def never(files: Files, stated: Mapping[str, object]) -> dict[str, object]:
        raise ZeroDivisionError

    found = wrong(SIGNED, recompute=otherwise)
    assert found == {"recomputed": "records.json[0].fprAfter is stated as 61.0, and 3.0 comes out"}
    assert wrong(SIGNED, recompute=never) == {
        "recomputed": "the numbers cannot be computed: ZeroDivisionError"
    }


def test_numbers_may_differ_by_rounding_and_counts_may_not() -> None:
    assert not [*differences(61.004, 61.0, "it")]
    assert not [*differences(1_000_000.5, 1_000_000.0, "it")]
    assert not [*differences({"a": 1.0}, {"a": 1, "more": 2}, "it")]
    assert [*differences(61.02, 61.0, "it")]
    assert [*differences({"a": 1}, {}, "it")] == ["it.a is not stated, and 1 comes out"]
    for one, other in ((3, 4), (True, 1), (None, 0), ("1", 1), ([1], [1, 1]), ([], {})):
        assert len([*differences(one, other, "it")]) == 1


def test_the_files_of_the_model(tmp_path: Path) -> None:
    for name, content in MODEL.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert model_check(SIGNED, tmp_path).ok
    assert "mask" in model_check(SIGNED, tmp_path).detail
    assert model_check(SIGNED, tmp_path / "checkpoint").ok
    assert "mask" not in model_check(SIGNED, tmp_path / "checkpoint").detail
    weights = tmp_path / "checkpoint" / "model.safetensors"
    weights.write_bytes(b"other weights")
    for folder in (tmp_path, tmp_path / "checkpoint"):
        assert "a bundle of another model" in model_check(SIGNED, folder).detail
    weights.unlink()
    assert "has no checkpoint/model.safetensors" in model_check(SIGNED, tmp_path).detail
    empty = Bundle.make(FILES, {}, predicate())
    assert model_check(empty, tmp_path).detail == "the statement names no file of a model"
    assert {*SUBJECTS} == {f"model/{name}" for name in MODEL}
    assert {*UNLISTED} & {*SUBJECTS} == set()
