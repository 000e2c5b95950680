"""What is left of records beside networks: found, and removed where that is allowed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mu import tags
from mu.data.manifest import Manifest, PartFiles
from mu.tags import fingerprint_tag
from mu.tasks.erase import leftovers
from mu.tasks.erase.leftovers import UNKNOWN, Leftover, purge
from mu.tasks.erase.scope import scope_of
from mu.tracking import Store, tracked
from mu.tracking.kept import KEPT_FILE
from mu.tracking.run_files import RunFiles
from tests.erase.made import DATA, ORIGINAL, OTHER, RECORDS, SPLIT, Family
from tests.test_main_job import files

MINE = {tags.DATA: fingerprint_tag(DATA.fingerprint)}
CARD = '<li id="f-{0}" data-known="no"><img src="data:image/png;base64,"></li>'


@pytest.fixture
def family(store: Store) -> Family:
    return Family(store)


def put(store: Store, run_id: str, contents: Mapping[str, bytes]) -> str:
    for path, content in contents.items():
        RunFiles(store, run_id).put(path, content)
    return run_id


def run_of(store: Store, entry: str, contents: Mapping[str, bytes], **given: object) -> str:
    with tracked(store, entry, "small") as recorder:
        recorder.params(given)  # type: ignore[arg-type]
        recorder.tags(MINE if entry != "dataset" else {})
    return put(store, recorder.run_id, contents)


def left(store: Store, numbers=RECORDS, dataset=DATA) -> list[Leftover]:
    return list(scope_of(store, dataset, numbers, []).leftovers)


def kinds(store: Store, **given: object) -> set[tuple[str, str, str | None, bool]]:
    return {(one.kind, one.where, one.run_id, one.removable) for one in left(store, **given)}  # type: ignore[arg-type]


def table(*numbers: int) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["part", "sample", "file"])
    writer.writeheader()
    writer.writerows({"part": "forget", "sample": n, "file": ""} for n in numbers)
    return file.getvalue().encode()


def numbers_file(*numbers: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(numbers), allow_pickle=False)
    return file.getvalue()


def test_what_runs_keep_of_these_records(family: Family) -> None:
    store, record, other = family.store, int(RECORDS[0]), int(SPLIT.train[9])
    original = family.original()
    shows = family.unlearned(original, "ft", RECORDS)
    put(store, shows, {"report/report.html": CARD.format(record).encode(), "poisoned/a": b"x"})
    hides = family.unlearned(original, "ft", RECORDS)
    put(store, hides, {"report/report.html": CARD.format(other).encode()})
    put(store, family.original(OTHER), {"resume/job.json": b"{}"})
    lira = run_of(store, "lira", {"references/000.npz": b"x", "records.csv": table(other, record)})
    run_of(store, "lira", {"records.csv": table(other)})
    stopped = run_of(store, "unlearn", {"resume/epoch.safetensors": b"x"})
    store.client.update_run(stopped, status="KILLED")
    assert kinds(store) == {
        ("thumbnails", "report/report.html", shows, True),
        ("checkpoint", "poisoned", shows, False),
        ("references", "references", lira, True),
        ("records", "records.csv", lira, True),
        ("progress", "resume", stopped, True),
    }


def stopped(store: Store, entry: str, document: object) -> str:
    """A run that was interrupted in a training, and what it was to do."""
    run_id = run_of(store, entry, {"resume/job.json": json.dumps(document).encode()})
    store.client.update_run(run_id, status="KILLED")
    return put(store, run_id, {"resume/round-000.safetensors": b"x"})


def attacked(store: Store, **numbers: list[int]) -> str:
    file = io.BytesIO()
    np.savez(file, **numbers)  # type: ignore[arg-type]
    return run_of(store, "lira", {"references/models.npz": file.getvalue()})


def test_progress_and_references_are_those_made_of_these_records(family: Family) -> None:
    store, spec, original = family.store, ORIGINAL.spec, family.original()
    mine, others = RECORDS.tolist(), SPLIT.train[8:].tolist()
    trained = [
        stopped(store, "prune", {"spec": spec.as_dict()}),
        stopped(store, "unlearn", {"prune_run_id": original, "method": "ft", "indices": mine}),
        stopped(
            store, "unlearn", {"prune_run_id": original, "method": "Retrain", "indices": others}
        ),
    ]
    stopped(store, "prune", {"spec": spec.without(RECORDS, "ft").as_dict()})
    stopped(store, "unlearn", {"prune_run_id": original, "method": "retrain", "indices": mine})
    put(store, family.original(), {"resume/job.json": b"{}"})  # no network is in it
    unknown = stopped(store, "unlearn", {"prune_run_id": "gone", "method": "ft", "indices": mine})
    references = [
        attacked(store, forget=mine[:1], population=[0]),
        attacked(store, forget=others, retained=mine, population=[]),
    ]
    attacked(store, forget=others, population=[99])
    damaged = run_of(store, "lira", {"references/000.npz": b"x"})
    assert {(one.kind, one.run_id, one.note) for one in left(store)} == {
        *(("progress", one, "") for one in trained),
        ("progress", unknown, UNKNOWN),
        *(("references", one, "") for one in references),
        ("references", damaged, UNKNOWN),
    }


def test_a_table_that_cannot_be_read_counts_as_one_that_names_them(family: Family) -> None:
    run_id = run_of(family.store, "lira", {"records.csv": b"who\n1\n"})
    assert kinds(family.store) == {("records", "records.csv", run_id, True)}


def test_an_original_that_was_stopped_says_in_its_progress_whose_it_is(family: Family) -> None:
    store = family.store
    for dataset in (DATA, OTHER):
        with tracked(store, "prune", "small") as recorder:
            pass
        document = {"spec": {"data": {"fingerprint": dataset.fingerprint}}}
        contents = {"resume/job.json": json.dumps(document).encode(), "resume/a": b"x"}
        put(store, recorder.run_id, contents)
        store.client.update_run(recorder.run_id, status="KILLED")
        if dataset is DATA:
            mine = recorder.run_id
    assert kinds(store) == {("progress", "resume", mine, True)}


def test_pictures_of_suspects(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    store, content = family.store, numbers_file(*SPLIT.train[2:])
    digest = fingerprint_tag(hashlib.sha256(content).hexdigest())
    run_id = run_of(store, "evaluate", {"suspects/indices.npy": content})
    store.client.set_tag(run_id, tags.SUSPECTS, digest)
    assert kinds(store, numbers=RECORDS[:2]) == set()
    assert kinds(store) == {
        ("thumbnails", "suspects/sheet.png", run_id, True),
        ("records", "suspects/suspects.csv", run_id, True),
    }
    monkeypatch.setattr(leftovers, "MOST_SUSPECTS", 1)  # the sheet shows the first ones
    listed = {("records", "suspects/suspects.csv", run_id, True)}
    assert kinds(store, numbers=RECORDS[3:]) == listed


def test_names_of_files(family: Family) -> None:
    parts = [PartFiles([f"{n}.png" for n in range(60)]), PartFiles([])]
    dataset = replace(DATA, manifest=Manifest("/pictures", *parts))
    run_id = family.original()
    put(family.store, run_id, {"data/manifest.csv": b"x", "forget/files.csv": b"x"})
    found = kinds(family.store, dataset=dataset)
    assert found == {
        ("names", "data/manifest.csv", run_id, False),
        ("names", "forget/files.csv", run_id, False),
    }


def test_deleted_runs_that_saw_them_are_kept_until_they_are_collected(family: Family) -> None:
    original, other = family.original(), family.original(OTHER)
    oracle = family.unlearned(original, "retrain", RECORDS)
    moved = family.transferred(original)
    for run_id in (original, other, oracle, moved):
        family.store.client.delete_run(run_id)
    found = left(family.store)
    assert {(one.kind, one.run_id) for one in found} == {
        ("deleted_run", original), ("deleted_run", moved)
    }  # fmt: skip
    assert "mlflow gc" in found[0].note


def test_what_was_never_delivered(family: Family, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    mine = family.original()
    for name, run_id in (("mu-a", mine), ("mu-b", family.original(OTHER))):
        (tmp_path / name).mkdir()
        document = {"format": "mu.undelivered/1", "run_id": run_id}
        (tmp_path / name / KEPT_FILE).write_text(json.dumps(document))
    (tmp_path / "mu-c").mkdir()
    (tmp_path / "mu-c" / KEPT_FILE).write_text("{")
    assert kinds(family.store) == {("undelivered", str(tmp_path / "mu-a"), mine, False)}


def test_files_of_images_that_were_built_of_this_data(family: Family, tmp_path) -> None:
    store, place = family.store, tmp_path / "pictures"
    place.mkdir()
    sources = {
        "a": f"made_up, fingerprint {DATA.fingerprint}",
        "b": f"made_up, fingerprint {OTHER.fingerprint}",
        "c": str(place),
    }
    (tmp_path / "a.lmdb").touch()
    ids = {
        name: run_of(
            store,
            "dataset",
            {"card.json": json.dumps({"source": source}).encode()},
            out=tmp_path / f"{name}.lmdb",
        )
        for name, source in sources.items()
    }
    found = left(store, dataset=replace(DATA, data_dir=str(place)))
    assert {(one.where, one.run_id, one.removable) for one in found} == {
        (str(tmp_path / f"{name}.lmdb"), ids[name], False) for name in "ac"
    }
    assert ["not found" in one.note for one in sorted(found, key=lambda one: one.where)] == [
        False, True
    ]  # fmt: skip


def test_exports_of_networks_that_hold_them(family: Family, tmp_path: Path) -> None:
    holds, other = family.original(), family.original(OTHER)
    ids = []
    for source in (holds, other):
        ids.append(run_of(family.store, "export", {"export/model.onnx": b"weights"}, out=tmp_path))
        family.store.client.set_tag(ids[-1], tags.UPSTREAM, source)
    assert kinds(family.store) == {
        ("checkpoint", "export", ids[0], False),
        ("checkpoint", str(tmp_path), ids[0], False),
    }


# --- removing -----------------------------------------------------------------------------


def test_only_what_may_be_removed_is_removed(family: Family, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MU_CACHE", str(tmp_path))
    cached = tmp_path / f"{DATA.name}-0123456789abcdef-train.npy"
    cached.touch()
    (tmp_path / "other-0123456789abcdef-train.npy").touch()
    store, page = family.store, CARD.format(RECORDS[0]).encode()
    run_id = family.unlearned(family.original(), "ft", RECORDS)
    before = set(files(store, run_id))
    put(store, run_id, {"report/report.html": page, "report/summary.md": b"x", "poisoned/a": b"x"})
    put(store, run_id, {"resume/a": b"x", "references/000.npz": b"x"})
    busy = put(store, family.unlearned(family.original(), "ft", RECORDS), {"resume/a": b"x"})
    found = left(store)
    store.client.update_run(busy, status="RUNNING")
    purged = {(one.kind, one.run_id): one for one in purge(store, found)}
    assert len(purged) == len(found)
    for kind, run in (
        ("thumbnails", run_id), ("progress", run_id), ("references", run_id), ("cache", None),
    ):  # fmt: skip
        assert purged[kind, run].removed_at is not None
    assert purged["checkpoint", run_id].removed_at is None
    assert "not removed: the run is RUNNING" in purged["progress", busy].note
    assert set(files(store, run_id)) == {*before, "report/summary.md", "poisoned/a"}
    assert [one.name for one in tmp_path.glob("*.npy")] == ["other-0123456789abcdef-train.npy"]
    outside = Leftover("cache", str(Path(__file__)), None, True)
    assert "not in the cache" in purge(store, [outside])[0].note
    assert Path(__file__).exists()
