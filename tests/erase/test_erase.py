"""The entry `erase`, end to end: what it finds, does and hands over."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from mlflow.artifacts import download_artifacts

from entrypoints import lira
from mu import tags
from mu.cli.main import run as run_command
from mu.erasure.effect import recompute
from mu.evidence import log
from mu.evidence.bundle import MODEL as OF_MODEL
from mu.evidence.bundle import Bundle
from mu.evidence.signing import load_private_key
from mu.evidence.statement import read_statement
from mu.evidence.verify import after_check, checks
from mu.report.erasure import person
from mu.report.erasure.words import LEFTOVERS
from mu.tasks.erase import evidence
from mu.tasks.erase import run as module
from mu.tasks.erase.deep import redo
from mu.tasks.erase.leftovers import Kind
from mu.tracking import Store, read_run
from mu.tracking.evidence_log import log_lines
from tests.erase.conftest import (
    METHOD,
    MODEL,
    NAME,
    PERSONS,
    Erased,
    World,
    call,
    newest_erasure,
    write_request,
)  # fmt: skip
from tests.test_main_job import runs

SCHEMA = Path(log.__file__).with_name("data_erasure.schema.json")
FOUND = [person.FOUND[status] for status in ("trained", "copy", "validation", "unknown")]
UNLEARNINGS = "tags.`mu.entry` = 'unlearn'"


def artifact(store: Store, run_id: str, path: str) -> Path:
    return Path(download_artifacts(run_id=run_id, artifact_path=path, tracking_uri=store.uri))


def bundle_of(store: Store, run_id: str) -> Bundle:
    return Bundle.read(artifact(store, run_id, "evidence.zip"))


def predicate_of(store: Store, run_id: str) -> dict[str, Any]:
    return read_statement(bundle_of(store, run_id).files["statement.json"])[1]


def sealed_of(store: Store, run_id: str) -> list[dict[str, str]]:
    text = artifact(store, run_id, "sealed/records.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


# --- a signed erasure ---------------------------------------------------------------------


def test_its_evidence_verifies_and_is_the_same_in_all_places(erased: Erased) -> None:
    bundle, key = Bundle.read(erased.out), load_private_key(erased.key).public_key()
    found = list(checks(bundle, keys=[key], recompute=recompute))
    assert [one.detail for one in found if not one.ok] == []
    assert {"signatures", "log", "times", "recomputed", "verdict"} <= {one.name for one in found}
    assert bundle_of(erased.store, erased.first).files == bundle.files
    assert Bundle.read(artifact(erased.store, erased.first, "evidence")).files == bundle.files


def test_the_statement_is_on_the_files_of_the_new_model(erased: Erased) -> None:
    subjects, found = read_statement(Bundle.read(erased.out).files["statement.json"])
    run_id = found["action"]["model"]["runId"]
    mine = {name.removeprefix(OF_MODEL) for name in subjects if name.startswith(OF_MODEL)}
    assert mine == {"checkpoint/model.safetensors", "checkpoint/spec.json", "mask/mask.safetensors"}
    for name in mine:
        content = artifact(erased.store, run_id, name).read_bytes()
        assert subjects[OF_MODEL + name] == hashlib.sha256(content).hexdigest()
    assert found["action"]["original"]["runId"] == erased.original
    assert found["action"]["method"] == "rl"


def test_each_record_is_counted_by_what_it_is(erased: Erased) -> None:
    found = predicate_of(erased.store, erased.first)
    counts = {name: count for name, count in found["request"]["found"].items() if count}
    assert counts == {"trained": 9, "copy": 1, "validation": 2, "unknown": 1}
    assert (found["request"]["subjects"], found["request"]["entries"]) == (2, 13)
    assert found["effect"]["forget"] == 10
    rows = json.loads(Bundle.read(erased.out).files["records.json"])
    assert Counter(one["status"] for one in rows) == counts
    judged = Counter(one["verdict"] for one in rows if one["verdict"])
    assert dict(judged) == {n: count for n, count in found["effect"]["records"].items() if count}


def test_nothing_in_the_bundle_says_who_or_which(erased: Erased) -> None:
    files = Bundle.read(erased.out).files
    rows = json.loads(files["records.json"])
    assert {type(value) for one in rows for value in one.values()} <= {str, float, bool, type(None)}
    assert all(not isinstance(one.get("number"), int) for one in rows)
    secret = sealed_of(erased.store, erased.first)[0]["key"]
    texts = {NAME.format(1)[:9], "nowhere", secret, erased.request.name}
    texts |= {part for who in PERSONS for part in who.split()}
    for name, content in files.items():
        assert [text for text in texts if text.encode() in content] == [], name
    with np.load(io.BytesIO(files["outputs.npz"]), allow_pickle=False) as arrays:
        wanted = {row["number"] for row in sealed_of(erased.store, erased.first)} - {""}
        for array in arrays.values():  # none holds the sample numbers
            assert not wanted <= {str(one) for one in array.ravel().tolist()}


def test_the_sealed_list_says_which_digest_is_which_record(
    erased: Erased, registered: World
) -> None:
    rows = sealed_of(erased.store, erased.first)
    key = bytes.fromhex(rows[0]["key"])
    assert [row["key"] for row in rows[1:]] == [""] * (len(rows) - 1)
    public = json.loads(Bundle.read(erased.out).files["records.json"])
    assert [(one["id"], one["status"]) for one in public] == [
        (row["id"], row["status"]) for row in rows
    ]
    for row in rows:
        text = f"entry {row['text']}"
        if row["number"]:
            content = (registered.folder / "photographs" / row["file"]).read_bytes()
            text = f"sample {row['number']} {hashlib.sha256(content).hexdigest()}"
        assert row["id"] == hmac.new(key, text.encode(), "sha256").hexdigest()
    # A copy is of whose record it is one, and one record is of both.
    assert {row["subject"] for row in rows} == {*PERSONS, "; ".join(PERSONS)}
    (copy,) = (row for row in rows if row["status"] == "copy")
    assert copy["subject"] == next(iter(PERSONS))


def test_what_the_run_keeps(erased: Erased) -> None:
    run, found = erased.store.run(erased.first), predicate_of(erased.store, erased.first)
    told = run.data.tags
    assert told[tags.VERDICT] == found["verdict"]["word"] == "forgotten"
    assert told[tags.UPSTREAM] == found["action"]["model"]["runId"]
    assert {tags.DATA, tags.FORGET} <= set(told)
    assert erased.store.run(told[tags.UPSTREAM]).data.tags["mlflow.parentRunId"] == erased.first
    metrics = run.data.metrics
    assert metrics["UA"] == found["effect"]["after"]["UA"]
    assert metrics["MIA_auc_before"] == found["effect"]["before"]["MIA_auc"]
    assert metrics["records_forgotten"] == found["effect"]["records"]["forgotten"] > 0
    assert run.data.params["policy_known_at"] == "50.0"
    assert run.data.params["method"] == "rl"
    assert "Verdict: **forgotten**" in told["mlflow.note.content"]


# --- the next one -------------------------------------------------------------------------


def test_the_next_request_goes_on_from_the_new_version(erased: Erased) -> None:
    store = erased.store
    first, second = (predicate_of(store, one) for one in (erased.first, erased.second))
    assert second["action"]["original"] == first["action"]["model"]
    assert second["action"]["requestsBefore"] == 1
    found = second["request"]["found"]
    assert (found["forgotten"], found["trained"], found["validation"]) == (1, 2, 1)
    decided = {one["runId"]: one["decision"] for one in second["scope"]["models"]}
    assert decided[erased.original] == "retire"
    assert decided[first["action"]["model"]["runId"]] == "unlearn"
    assert decided[second["action"]["model"]["runId"]] == "retire"  # its verdict is no_baseline


def test_the_log_grows_by_a_line_for_each(erased: Erased) -> None:
    store = erased.store
    lines = log_lines(store)
    assert [store.run(one).data.tags[tags.LOG_PLACE] for one in (erased.first, erased.second)] == [
        "0", "1",
    ]  # fmt: skip
    assert artifact(store, erased.first, "evidence_log.txt").read_text().split() == lines[:1]
    older, newer = (bundle_of(store, one) for one in (erased.first, erased.second))
    for bundle, line in zip((older, newer), lines, strict=True):
        assert line == hashlib.sha256(bundle.files["statement.json"]).hexdigest()
    assert after_check(newer, older).ok
    assert "line 2 is missing" in after_check(older, newer).detail


def test_a_bundle_without_a_key_says_that_it_is_not_signed(erased: Erased) -> None:
    bundle = bundle_of(erased.store, erased.second)
    assert "public_key.pem" not in bundle.files
    wrong = {one.name: one.detail for one in checks(bundle, recompute=recompute) if not one.ok}
    assert set(wrong) == {"signatures"}
    assert "not signed" in wrong["signatures"]
    assert all(one.ok for one in checks(bundle, unsigned=True, recompute=recompute))


# --- once more ----------------------------------------------------------------------------


def test_the_unlearning_once_more_gives_the_same_bits(
    erased: Erased, tmp_path, monkeypatch
) -> None:
    world = erased.copied(tmp_path / "store", monkeypatch)
    found = predicate_of(world.store, world.first)
    assert redo(found) == ""
    assert "other weights came out" in redo({**found, "action": {**found["action"], "seed": 1}})


def test_an_interrupted_erasure_takes_the_unlearning_that_is_done(
    registered: World, erased: Erased, tmp_path, monkeypatch, capsys
) -> None:
    world = registered.copied(tmp_path / "store", monkeypatch)
    line = ("--records", erased.request, "--model", f"models:/{MODEL}/1", *METHOD)
    out = tmp_path / "evidence"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where what was written is kept
    with monkeypatch.context() as patch:
        patch.setattr(module, "evidence_of", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call(*line, "--out", out)
    assert newest_erasure(world.store).info.status == "FAILED"
    assert not out.exists()
    (done,) = runs(world.store, UNLEARNINGS)
    assert call(*line, "--out", out) == 0
    assert f"run {done.info.run_id}, which did exactly this before" in capsys.readouterr().out
    assert len(runs(world.store, UNLEARNINGS)) == 1
    found = list(checks(Bundle.read(out), unsigned=True, recompute=recompute))
    assert [one.detail for one in found if not one.ok] == []


def test_reference_models_calibrate_the_records(erased: Erased, tmp_path, monkeypatch) -> None:
    world = erased.copied(tmp_path / "store", monkeypatch)
    made = predicate_of(world.store, world.first)["action"]["model"]["runId"]
    line = ["--unlearn_run_id", made, "--references", "2", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        run_command(lira.build, line)
    assert ended.value.code == 0
    forgotten = SimpleNamespace(forget=read_run(world.store, made).forget_indices)
    plan: Any = SimpleNamespace(store=world.store, split=forgotten)
    assert evidence._references(plan, made) is None, "two show no spread"
    monkeypatch.setattr(evidence, "FEWEST_REFERENCES", 2)
    assert evidence._references(plan, world.original) is None, "they are of another model"
    own = ("--model", f"models:/{MODEL}/1", "--policy", world.policy, *METHOD)
    assert call("--records", world.request, *own, "--purge", "true") == 0
    run_id = newest_erasure(world.store).info.run_id
    effect = predicate_of(world.store, run_id)["effect"]
    assert "by 2 reference models" in effect["attack"]
    assert not any("reference models" in one for one in effect["notTested"])
    left = predicate_of(world.store, run_id)["scope"]["leftovers"]
    removed = {one["kind"] for one in left if one["removedAt"]}
    assert {"references", "records"} <= removed
    assert all(one.ok for one in checks(bundle_of(world.store, run_id), unsigned=True))


def test_a_request_that_was_answered_before_makes_no_bundle(
    erased: Erased, tmp_path, monkeypatch, capsys
) -> None:
    world = erased.copied(tmp_path / "store", monkeypatch)
    before = {one.info.run_id for one in runs(world.store)}
    line = ("--records", world.request, "--model", f"models:/{MODEL}@production", "--out")
    launched = world.store.client.create_run(world.store.experiment_id).info.run_id
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", launched)
        assert call(*line, tmp_path / "evidence") == 0
    assert world.store.run(launched).info.run_name == f"answered by {world.first[:8]}"
    said = capsys.readouterr().out
    flowing = " ".join(said.split())
    assert "10 forgotten, 2 validation, 1 unknown; earlier erasures removed them" in flowing
    assert f"erasure {world.first} verdict forgotten, gate open" in flowing
    command = f"mlflow artifacts download -r {world.first} -a evidence.zip -d . && mu verify"
    assert f"mu verify {tmp_path / 'evidence'}" in flowing
    assert Bundle.read(tmp_path / "evidence").files == bundle_of(world.store, world.first).files
    assert call(*line[:-1]) == 0
    assert command in capsys.readouterr().out
    assert {one.info.run_id for one in runs(world.store)} == {*before, launched}
    monkeypatch.setattr("mu.tasks.erase.before.BUNDLE_FILE", "gone.zip")
    assert call(*line, tmp_path / "other") == 2
    assert "no evidence in the store; to have some, erase" in capsys.readouterr().err


def test_each_person_has_a_letter_of_the_own_records_alone(erased: Erased) -> None:
    files = Bundle.read(erased.out).files
    rows = sealed_of(erased.store, erased.first)
    whose = {row["subject"]: row["letter"] for row in rows if ";" not in row["subject"]}
    assert {*whose.values()} == {name for name in files if name.startswith("letter")}
    assert whose.keys() == PERSONS.keys()
    one, other = (" ".join(files[whose[who]].decode().split()) for who in PERSONS)
    # One record is of both persons, and one of the first has a copy.
    for text, counts in ((one, (4, 1, 1, 0)), (other, (6, 0, 1, 1))):
        for count, words in zip(counts, FOUND, strict=True):
            assert (f"- {count}: {words}" in text) is bool(count), (words, text)
    assert "5 records were named to us" in one
    assert "8 records were named to us" in other


def test_no_name_of_the_list_is_kept(erased: Erased) -> None:
    store = erased.store
    for run in runs(store):
        kept = {**run.data.tags, **run.data.params, "name": run.info.run_name}
        assert [name for name, value in kept.items() if "persons-a" in value] == []
    names = {one["name"] for one in predicate_of(store, erased.second)["scope"]["models"]}
    assert "rl · list" in names


def test_a_person_who_is_all_of_a_class(registered: World, tmp_path, monkeypatch) -> None:
    world = registered.copied(tmp_path / "store", monkeypatch)
    request = write_request(tmp_path / "request.csv", [("Orla Quist", "3-three/*")])
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"utility": 100, "privacy": 100}))
    line = ("--records", request, "--prune_run_id", world.original, "--policy", policy)
    assert call(*line, "--method", "ga") == 0
    run_id = newest_erasure(world.store).info.run_id
    with np.load(io.BytesIO(bundle_of(world.store, run_id).files["outputs.npz"])) as arrays:
        assert arrays["whole"].all()
    found = predicate_of(world.store, run_id)
    given = 100 - found["effect"]["after"]["UA"]
    said = f"{given:.1f} % of the records of forgotten classes are given their class"
    assert (said in found["verdict"]["reasons"]) is (given > found["policy"]["named"])
    before = json.loads(bundle_of(world.store, run_id).files["records.json"])
    assert all(one["knownBefore"] for one in before if one["status"] == "trained")


# --- what it writes fits what it says that it writes ---------------------------------------


def test_every_kind_of_leftover_has_its_words_and_its_place_in_the_schema() -> None:
    leftovers = json.loads(SCHEMA.read_text())["$defs"]["scope"]["properties"]["leftovers"]
    known = set(leftovers["items"]["properties"]["kind"]["enum"])
    assert known == set(get_args(Kind)) == set(LEFTOVERS)
