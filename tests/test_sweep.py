"""The sweep entry on a real store: each run once, wherever it was made, however it was stopped."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import psutil
import pytest
import yaml
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun

from mu.cli.requests import DeviceOptions, Request
from mu.methods import METHODS
from mu.tags import ORIGINAL_KEY, UNLEARNING
from mu.tasks import perform as unlearning
from mu.tasks import prune as prune_task
from mu.tasks.claims import run as claims_run
from mu.tasks.sweep import perform
from mu.tasks.sweep import run as sweep_run
from mu.tracking import Store, connect, load_checkpoint, saved_runs
from mu.trust import words
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.helpers import mostly_slow, refused
from tests.processes import PATIENCE, python
from tests.test_main_job import files
from tests.tracking.handovers import hand_over
from tests.tracking.test_resuming import interrupt_at

ORIGINALS = {"rate": [0, 0.5], "epochs": 2, "train_size": 120}
GRID = {
    "originals": ORIGINALS,
    "forget": ["class:0"],
    "methods": ["ga", {"ft": {"epochs": [1]}}],
    "device": "cpu",
}
SMALL = {**GRID, "originals": {**ORIGINALS, "rate": 0.5}, "methods": ["ga"]}
COUNTS = {"prune": 2, "retrain": 2, "ga": 2, "ft": 2}


def write(folder: Path, document: dict[str, Any], name: str = "grid.yaml") -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(document))
    return str(path)


def runs(store: Store) -> list[MlflowRun]:
    return list(store.search(""))


def made(store: Store, which: Callable[[MlflowRun], bool] = lambda _: True) -> Counter[str]:
    """How many runs there are of each entry, those of unlearn by their methods."""
    return Counter(
        run.data.params.get("method") or run.data.tags["mu.entry"]
        for run in runs(store)
        if which(run)
    )


def finished(store: Store) -> Counter[str]:
    """The same, of those that are finished."""
    return made(store, lambda run: run.info.status == "FINISHED")


def sweeps(store: Store) -> list[MlflowRun]:
    return list(store.search("tags.`mu.entry` = 'sweep'"))


def tasks(store: Store, run: MlflowRun) -> list[dict[str, Any]]:
    path = download_artifacts(
        run_id=run.info.run_id, artifact_path="sweep.json", tracking_uri=store.uri
    )
    found: list[dict[str, Any]] = json.loads(Path(path).read_text())["tasks"]
    return found


def finished_once(store: Store) -> bool:
    """Whether no original and no unlearning was finished twice."""
    done = [run for run in runs(store) if run.info.status == "FINISHED"]
    keys = [
        run.data.tags[tag] for run in done for tag in (UNLEARNING, ORIGINAL_KEY)
        if tag in run.data.tags
    ]  # fmt: skip
    return len(keys) == len(set(keys))


@dataclass(frozen=True)
class Swept:
    """A store with a finished sweep; copy it, do not write to it."""

    path: Path
    run_id: str


@pytest.fixture(scope="module")
def finished_sweep(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("finished-sweep")
    path = copy_store(empty_store, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        assert call("sweep", "--grid", write(folder, GRID)) == 0
        (run,) = sweeps(connect())
    return Swept(path, run.info.run_id)


@pytest.fixture
def swept(finished_sweep: Swept, copied: Callable[[Path], Store]) -> Store:
    """The test's own copy of a store with a finished sweep."""
    return copied(finished_sweep.path)


# --- a whole sweep ------------------------------------------------------------------------


def test_a_sweep_makes_every_run_once_below_its_own(swept: Store, finished_sweep: Swept) -> None:
    parent = swept.run(finished_sweep.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["cells"] == "4"
    others = [run for run in runs(swept) if run.info.run_id != parent.info.run_id]
    assert made(swept) == {**COUNTS, "sweep": 1}
    assert all(run.info.status == "FINISHED" for run in others)
    assert {run.data.tags["mlflow.parentRunId"] for run in others} == {parent.info.run_id}
    originals = {run.info.run_id for run in others if run.data.tags["mu.entry"] == "prune"}
    oracles = {
        run.data.tags["mu.upstream"]: run.info.run_id
        for run in others
        if run.data.params.get("method") == "retrain"
    }
    assert set(oracles) == originals
    for run in others:
        if run.data.params.get("method") in ("ga", "ft"):
            assert run.data.tags["mu.oracle"] == oracles[run.data.tags["mu.upstream"]]
            assert "gap" in run.data.metrics
    assert finished_once(swept)


def test_its_run_keeps_the_grid_every_task_and_the_unlearnings(
    swept: Store, finished_sweep: Swept
) -> None:
    parent = swept.run(finished_sweep.run_id)
    assert set(files(swept, parent.info.run_id)) == {
        "grid.yaml", "sweep.json", "report/sweep.csv", "report/summary.md",
    }  # fmt: skip
    kept = tasks(swept, parent)
    assert Counter(one["kind"] for one in kept) == {"original": 2, "oracle": 2, "cell": 4}
    assert {one["state"] for one in kept} == {"done"}
    assert {one["run_id"] for one in kept} == {
        run.info.run_id for run in runs(swept) if run.info.run_id != parent.info.run_id
    }
    table = download_artifacts(
        run_id=parent.info.run_id, artifact_path="report/sweep.csv", tracking_uri=swept.uri
    )
    with Path(table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter((row["prune_rate"], row["method"]) for row in rows) == {
        (rate, method): 1 for rate in ("0.0", "0.5") for method in ("ga", "ft")
    }
    for row in rows:
        metrics = swept.run(row["run_id"]).data.metrics
        assert float(row["gap"]) == pytest.approx(metrics["gap"])
    assert "| ga |" in parent.data.tags["mlflow.note.content"]


def test_claims_are_judged_by_the_runs_of_a_grid(
    swept: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {**GRID, "originals": {"rate": [0, 0.5]}})
    scale = write(tmp_path, {"originals": {"epochs": 2, "train_size": 120}}, "scale.yaml")
    about = {"source": "-", "grid": "grid.yaml", "metric": "UA", "published": "1"}
    where = {"method": "ga", "forget": "class"}
    listed = [
        {**about, "claim": "at most 100", "where": where, "at_most": {"value": 100}},
        {**about, "claim": "at most -1", "where": where, "at_most": {"value": -1}},
        {**about, "claim": "depth", "metric": "ASR", "where": where, "at_most": {"value": 1}},
    ]
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(listed))
    line = ("--claims", str(path), "--scale", scale)
    assert call("claims", *line) == 1
    shown = capsys.readouterr().out
    assert "1 PASS, 1 FAIL, 1 NOT RUN" in shown
    (run,) = swept.search("tags.`mu.entry` = 'claims'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"claims_passed": 1, "claims_failed": 1, "claims_not_run": 1}
    assert set(files(swept, run.info.run_id)) == {"report/claims.md", "report/claims.json"}
    mean = statistics.mean(
        one.data.metrics["UA"] for one in runs(swept) if one.data.params.get("method") == "ga"
    )
    (line_of,) = (text for text in shown.splitlines() if "at most -1" in text)
    assert f" {mean:.2f} " in line_of

    path.write_text(yaml.safe_dump(listed[:1]))
    assert call("claims", *line) == 0
    with refused("claims=", "cannot be read"):
        claims_run.claims(Request(entry={"claims": str(tmp_path / "nowhere.yaml")}))
    path.write_text("claims: []")
    with refused("no list of claims"):
        claims_run.claims(Request(entry={"claims": str(path)}))


def test_the_tag_of_an_unlearning_is_of_the_network_that_the_files_hold(swept: Store) -> None:
    for run in swept.search("tags.`mu.entry` = 'prune'"):
        digest = load_checkpoint(run.info.run_id, swept.uri).fingerprint
        assert run.data.tags["mu.weights"] == digest[:16]


def test_a_second_start_makes_nothing(
    swept: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = {**GRID, "methods": [{"ft": {"epochs": 1}}, "ga"]}  # the same, written otherwise
    assert call("sweep", "--grid", write(tmp_path, again)) == 0
    assert made(swept) == {**COUNTS, "sweep": 2}
    newest, first = sweeps(swept)
    assert newest.info.status == "FINISHED"
    assert {one["run_id"] for one in tasks(swept, newest)} == {
        one["run_id"] for one in tasks(swept, first)
    }
    # What was found is judged as what was made, next to doing nothing.
    for text in (capsys.readouterr().out, newest.data.tags["mlflow.note.content"]):
        assert "nothing" in text
        assert "one seed only" in text


def test_a_dry_run_opens_nothing_and_says_what_is_there(
    swept: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made(swept)
    larger = {**GRID, "originals": {**ORIGINALS, "rate": [0, 0.5, 0.6]}, "seed": [0, 1]}
    assert call("sweep", "--grid", write(tmp_path, larger), "--dry_run", "true") == 0
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    table = {words[0]: words[1:] for words in lines if words}
    assert table["originals"][:3] == ["3", "2", "1"]
    assert table["oracles"][:3] == ["3", "2", "1"]
    assert table["unlearnings"][:3] == ["12", "4", "8"]
    assert all("unknown" not in table[kind] for kind in ("originals", "oracles", "unlearnings"))
    assert made(swept) == before


def test_a_grid_of_runs_saved_and_loaded_is_finished(
    swept: Store, empty_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    saved = tmp_path / "runs.jsonl.xz"
    assert saved_runs.save(swept, saved) == sum(COUNTS.values())
    path = copy_store(empty_store, tmp_path / "other")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    other = connect()
    assert saved_runs.load(other, saved) == (8, 0)
    assert saved_runs.load(other, saved) == (0, 8)
    assert made(other) == COUNTS
    assert results(other) == results(swept)
    assert saved_runs.save(other, tmp_path / "again.jsonl.xz") == 8
    assert saved_runs.load(swept, tmp_path / "again.jsonl.xz") == (0, 8)
    assert call("sweep", "--grid", write(tmp_path, GRID), "--dry_run", "true") == 0
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    table = {words[0]: words[1:4] for words in lines if len(words) > 3}
    assert table["originals"] == table["oracles"] == ["2", "2", "0"]
    assert table["unlearnings"] == ["4", "4", "0"]


def test_however_often_it_is_loaded_a_run_is_known(
    store: Store, empty_store: Path, tmp_path: Path
) -> None:
    hand_over(store)
    file = tmp_path / "0"
    assert saved_runs.save(store, file) == 1
    for number in "12":
        other = connect(store_uri(copy_store(empty_store, tmp_path / f"store {number}")))
        assert saved_runs.load(other, file) == (1, 0)
        file = tmp_path / number
        assert saved_runs.save(other, file) == 1
    assert saved_runs.load(store, file) == (0, 1)


def results(store: Store) -> list[tuple[dict[str, float], dict[str, str]]]:
    """Numbers and tags of all runs but sweeps, without what is of the store."""
    own = {"mu.upstream", "mu.oracle", saved_runs.LOADED}
    found = [
        (
            run.data.metrics,
            {n: v for n, v in run.data.tags.items() if n.startswith("mu.") and n not in own},
        )
        for run in runs(store)
        if run.data.tags["mu.entry"] != "sweep"
    ]
    return sorted(found, key=lambda one: [sorted(part.items()) for part in one])


def test_all_is_every_method_where_it_can_forget(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {**GRID, "forget": ["class:0", "random:5"], "methods": "all"}
    assert call("sweep", "--grid", write(tmp_path, document), "--dry_run", "true") == 0
    shown = capsys.readouterr().out
    methods = {*METHODS} - {"retrain", "nothing", "logit_mask"}
    of_classes = sorted(name for name in methods if METHODS[name].classes_only)
    assert of_classes
    assert [line for line in shown.splitlines() if line.startswith("left out: ")] == [
        f"left out: random:5 by {name}: method={name} forgets whole classes, and samples of others "
        "are in the forget set; give forget=class:3, say, or method=scrub"
        for name in of_classes
    ]
    assert f"{2 * (2 * len(methods) - len(of_classes))}" in shown


def test_a_run_with_odd_parameters_is_no_ground_for_an_estimate(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for params in ({}, {"epochs": "'10'", "rate": "0", "rewind": "none"}):
        run = store.client.create_run("0", tags={"mu.entry": "prune"})
        for name, value in params.items():
            store.client.log_param(run.info.run_id, name, value)
        store.client.log_metric(run.info.run_id, "train_s", 1.0)
        store.client.set_terminated(run.info.run_id)
    assert call("sweep", "--grid", write(tmp_path, GRID), "--dry_run", "true") == 0
    assert capsys.readouterr().out.count("unknown") == 3


# --- what is there already ----------------------------------------------------------------


@pytest.mark.slow
def test_runs_of_the_single_entries_are_found_wherever_they_were_made(
    store: Store, tmp_path: Path
) -> None:
    line = ("--epochs", "2", "--train_size", "120", "--rate", "0.5", "--device", "cpu")
    assert call("prune", *line) == 0
    (original,) = runs(store)
    line = ("--prune_run_id", original.info.run_id, "--device", "cpu", "--method", "ga")
    assert call("unlearn", *line, "--oracle_run_id", "train") == 0
    before = {run.info.run_id for run in runs(store)}
    grid = write(tmp_path, {**GRID, "originals": {**ORIGINALS, "rate": 0.5}})
    assert call("sweep", "--grid", grid) == 0
    assert made(store) == {"prune": 1, "retrain": 1, "ga": 1, "ft": 1, "sweep": 1}
    (parent,) = sweeps(store)
    assert before < {one["run_id"] for one in tasks(store, parent)}
    for run_id in before:  # linked, but where they were
        assert "mlflow.parentRunId" not in store.run(run_id).data.tags


@pytest.mark.slow
def test_unlearnings_that_were_not_compared_are_made_again_where_an_oracle_is_wanted(
    store: Store, tmp_path: Path
) -> None:
    assert call("sweep", "--grid", write(tmp_path, {**SMALL, "oracle": "none"})) == 0
    assert made(store) == {"prune": 1, "ga": 1, "sweep": 1}
    assert call("sweep", "--grid", write(tmp_path, SMALL)) == 0
    assert made(store) == {"prune": 1, "ga": 2, "retrain": 1, "sweep": 2}
    assert call("sweep", "--grid", write(tmp_path, {**SMALL, "oracle": "none"})) == 0
    assert made(store) == {"prune": 1, "ga": 2, "retrain": 1, "sweep": 3}
    retain = {**SMALL, "oracle": {"mask_from": "retain"}}
    assert call("sweep", "--grid", write(tmp_path, retain)) == 0
    assert made(store) == {"prune": 1, "ga": 3, "retrain": 2, "sweep": 4}


@pytest.mark.slow
def test_retrain_with_the_seed_of_the_oracle_is_the_oracle(swept: Store, tmp_path: Path) -> None:
    grid = {**GRID, "methods": ["retrain"], "seed": [0, 4]}
    grid["originals"] = {**ORIGINALS, "rate": 0}
    assert call("sweep", "--grid", write(tmp_path, grid)) == 0
    assert made(swept)["retrain"] == COUNTS["retrain"] + 1
    kept = tasks(swept, sweeps(swept)[0])
    (oracle,) = [one["run_id"] for one in kept if one["kind"] == "oracle"]
    same, other = [one["run_id"] for one in kept if one["kind"] == "cell"]
    assert same == oracle != other
    # Though the other one is newer, cells are still compared with the oracle of that seed.
    assert call("sweep", "--grid", write(tmp_path, grid)) == 0
    (again,) = [one["run_id"] for one in tasks(swept, sweeps(swept)[0]) if one["kind"] == "oracle"]
    assert again == oracle


@pytest.mark.slow
def test_originals_may_be_trained_under_the_mask_of_a_run(swept: Store, tmp_path: Path) -> None:
    sparse = next(swept.search("tags.`mu.entry` = 'prune' and params.rate = '0.5'"))
    grid = {
        "originals": {"mask_run_id": sparse.info.run_id, "seed": [5, 6]},
        "methods": ["ga"],
        "device": "cpu",
    }
    assert call("sweep", "--grid", write(tmp_path, grid)) == 0
    assert made(swept)["prune"] == COUNTS["prune"] + 2
    with refused("mask_from=retain", "mask_run_id"):
        sweep_run.sweep(
            Request(entry={"grid": write(tmp_path, {**grid, "oracle": {"mask_from": "retain"}})})
        )


# --- mistakes -----------------------------------------------------------------------------


def changed(**parts: Any) -> dict[str, Any]:
    return {**GRID, **parts}


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        (changed(methosd=["ft"]), ("'methosd'", "did you mean methods?")),
        (changed(originals={"epoch": 2}), ("setting of originals 'epoch'", "epochs")),
        (changed(originals={"rate": 1.5}), ("rate=1.5",)),
        (changed(originals={"rate": "much"}), ("rate='much'", "float")),
        (changed(originals={"dataset": "digit"}), ("'digit'", "digits")),
        (changed(originals={"pruner": "omq"}), ("'omq'", "omp")),
        (changed(originals={"iterations": 3}), ("'iterations'",)),
        (changed(originals={"epochs": None}), ("epochs='none'",)),
        (changed(originals={"resume_run_id": "a" * 32}), ("resume_run_id", "leave it out")),
        (changed(originals={"register": "digits"}), ("register", "mu register ID NAME")),
        (changed(originals={"train_size": 10**6}), ("train_size=1000000",)),
        (changed(originals={"seed": [0, -1]}), ("seed=-1",)),
        (changed(forget=["class:0", "class:11"]), ("'11'", "digits")),
        (changed(forget="some"), ("forget='some'",)),
        (changed(forget="poison"), ("forget=poison", "not poisoned")),
        (changed(methods=["ftt"]), ("method 'ftt'", "ft")),
        (
            changed(methods=["delete"], forget="random:5"),
            ("none forgets any set", "random:5 by delete", "whole classes"),
        ),
        (changed(methods=[{"ft": {"epoch": 1}}]), ("setting of method ft 'epoch'", "epochs")),
        (changed(methods=[{"ft": {"epochs": [1, 0]}}]), ("epochs=0",)),
        (
            changed(methods=[{"iu": {"alpha": 1.0, "max_accuracy_drop": 2.0}}]),
            ("max_accuracy_drop",),
        ),
        (changed(oracle={"mask_form": "retain"}), ("setting of oracle 'mask_form'", "mask_from")),
        (changed(seed=[0, 2**32]), ("seed=4294967296",)),
        (changed(seed=["one"]), ("seed='one'",)),
        (changed(device="cpuu"), ("cpuu",)),
        (changed(device={"devise": "cpu"}), ("setting of device 'devise'", "device")),
    ],
)
def test_mistakes_are_refused_before_a_run_is_opened(
    store: Store, tmp_path: Path, document: dict[str, Any], texts: tuple[str, ...]
) -> None:
    with refused(*texts):
        sweep_run.sweep(Request(entry={"grid": write(tmp_path, document)}))
    assert runs(store) == []


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({}, ("grid=FILE.yaml", "resume_run_id")),
        ({"grid": "g", "jobs": 2}, ("jobs=2", "engine=processes")),
        ({"grid": "g", "ray_address": "auto"}, ("ray_address=auto", "engine=ray")),
        ({"grid": "g", "engine": "threads"}, ("threads",)),
        ({"grid": "nowhere.yaml"}, ("nowhere.yaml", "cannot be read")),
        ({"resume_run_id": "0" * 32}, ("there is no run",)),
    ],
)
def test_options_that_do_not_go_together(
    store: Store, given: dict[str, Any], texts: tuple[str, ...]
) -> None:
    with refused(*texts):
        sweep_run.sweep(Request(entry=given))


def test_without_ray_a_line_says_how_to_get_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_run, "find_spec", lambda name: None)
    with refused("engine=ray", "mu-unlearning[ray]", "engine=processes"):
        sweep_run.sweep(Request(entry={"grid": write(tmp_path, GRID), "engine": "ray"}))


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_many_runs_are_made_only_if_that_is_meant(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = changed(seed=list(range(100)), originals={**ORIGINALS, "rate": 0})
    path = write(tmp_path, grid)  # an original, its oracle, and twice a hundred cells
    with refused("makes 202 runs", "more than 200", "yes=true"):
        sweep_run.sweep(Request(entry={"grid": path}))
    assert runs(store) == []
    monkeypatch.setattr(sweep_run, "open_engine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep_run.sweep(Request(entry={"grid": path, "yes": True}))
    path = write(tmp_path, {**grid, "seed": list(range(99))})  # exactly 200
    with pytest.raises(KeyboardInterrupt):
        sweep_run.sweep(Request(entry={"grid": path}))


def test_numbers_are_read_as_the_command_line_reads_them(store: Store, tmp_path: Path) -> None:
    # YAML takes 1e-2 for a text.
    grid = changed(originals={**ORIGINALS, "rate": "5e-1", "lr": "1e-2"}, methods=[])
    assert call("sweep", "--grid", write(tmp_path, grid), "--dry_run", "true") == 0


# --- what fails ---------------------------------------------------------------------------


def test_an_unlearning_that_fails_is_tried_again_and_reported_and_the_others_go_on(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"ft": {"epochs": 1, "lr": [0.01, 1e30]}}
    grid = changed(methods=[bad, "ga"], originals={**ORIGINALS, "rate": 0})
    line = ("--grid", write(tmp_path, grid))
    assert call("sweep", *line) == 2
    said = capsys.readouterr()
    assert "is tried again" in said.out
    assert said.err.strip().splitlines()[-1].startswith("error: 1 of 5 runs of the sweep")
    (parent,) = sweeps(store)
    assert parent.info.status == "FAILED"
    assert "lr=1e+30" in parent.data.tags["mu.error"]
    kept = tasks(store, parent)
    assert Counter(one["state"] for one in kept) == {"done": 4, "failed": 1}
    (failed,) = [one for one in kept if one["state"] == "failed"]
    assert "lower lr" in failed["error"]
    assert "report/failures.txt" in set(files(store, parent.info.run_id))
    # The same command tries just that one again, in the same run.
    assert call("sweep", *line, "--retries", "0") == 2
    (parent,) = sweeps(store)
    assert parent.data.tags["mu.resumed"] == "1"
    assert made(store)["ga"] == 1
    assert finished_once(store)


@pytest.mark.slow
def test_what_needs_a_failed_original_is_not_tried(store: Store, tmp_path: Path) -> None:
    grid = changed(originals={**ORIGINALS, "rate": 0, "lr": [0.1, 1e30]})
    assert call("sweep", "--grid", write(tmp_path, grid), "--retries", "0") == 2
    (parent,) = sweeps(store)
    states = Counter((one["kind"], one["state"]) for one in tasks(store, parent))
    assert states == {
        ("original", "done"): 1, ("oracle", "done"): 1, ("cell", "done"): 2,
        ("original", "failed"): 1, ("oracle", "failed"): 1, ("cell", "failed"): 2,
    }  # fmt: skip
    assert "original lr=1e+30" in parent.data.tags["mu.error"]


# --- interruptions ------------------------------------------------------------------------


@pytest.mark.parametrize("by", mostly_slow(["the same command", "its ID"], "its ID"))
def test_an_interrupted_sweep_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    # Of an unlearning that is continued the rounding is as it began, or it is another one.
    line = ("--grid", write(tmp_path, SMALL), "--threads", "2")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, unlearning, "_unlearn", 2)  # after the oracle's
        assert call("sweep", *line) == 128 + signal.SIGINT
    (parent,) = sweeps(store)
    assert parent.info.status == "KILLED"
    unfinished = [run.info.run_id for run in runs(store) if run.info.status != "FINISHED"]
    assert len(unfinished) == 2
    monkeypatch.chdir(tmp_path)
    again = line if by == "the same command" else ("--resume_run_id", parent.info.run_id)
    assert call("sweep", *again) == 0
    assert [run.info.run_id for run in sweeps(store)] == [parent.info.run_id]
    # The unlearning was continued in its run, too.
    assert made(store) == {"prune": 1, "retrain": 1, "ga": 1, "sweep": 1}
    assert all(run.info.status == "FINISHED" for run in runs(store))
    assert finished_once(store)
    assert "resume/job.json" not in set(files(store, parent.info.run_id))
    with refused("FINISHED"):
        sweep_run.sweep(Request(entry={"resume_run_id": parent.info.run_id}))


@pytest.mark.slow
def test_an_original_goes_on_from_its_last_epoch(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mu.tracking import resuming

    line = ("--grid", write(tmp_path, {**SMALL, "methods": []}))
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, resuming.RunCheckpointer, "save", 1)
        assert call("sweep", *line) == 128 + signal.SIGINT
    assert call("sweep", *line) == 0
    (original,) = store.search("tags.`mu.entry` = 'prune'")
    assert original.data.tags["mu.resumed"] == "1"


@pytest.mark.slow
def test_an_original_that_was_stopped_in_its_first_epoch_starts_again_in_its_run(
    store: Store, tmp_path: Path
) -> None:
    line = ("--grid", write(tmp_path, {**SMALL, "methods": []}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prune_task, "train_original", interrupted)
        assert call("sweep", *line) == 128 + signal.SIGINT
    assert call("sweep", *line) == 0
    assert made(store) == finished(store)
    assert made(store)["prune"] == 1


def test_another_grid_does_not_go_on_in_that_run(store: Store, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, unlearning, "_unlearn", 1)
        assert call("sweep", "--grid", write(tmp_path, GRID)) == 128 + signal.SIGINT
    (parent,) = sweeps(store)
    other = write(tmp_path, {**GRID, "seed": 3}, "other.yaml")
    with refused("another grid"):
        sweep_run.sweep(Request(entry={"grid": other, "resume_run_id": parent.info.run_id}))
    assert len(sweeps(store)) == 1


# --- several processes --------------------------------------------------------------------

ENGINES = [
    "processes",
    pytest.param(
        "ray",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("ray") is None,
            reason='Ray is not installed: pip install "mu-unlearning[ray]"',
        ),
    ),
]
# Of the finished sweep's originals and oracles, so that workers only unlearn.
MORE = {**GRID, "methods": [{"ft": {"epochs": 2, "lr": [0.01, 0.02]}}]}
DONE = {**COUNTS, "ft": COUNTS["ft"] + 4, "sweep": 2}


def sweeping(engine: str, grid: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """The sweep by two workers, in a process of its own."""
    return python("-m", "entrypoints.sweep", "--engine", engine, "--jobs", "2", "--grid", grid)


def pid_at_work(store: Store, process: subprocess.Popen[str]) -> int:
    """The process of an unlearning that is open now, once there is one."""
    query = "attributes.status = 'RUNNING' and tags.`mu.entry` = 'unlearn'"
    while process.poll() is None:
        for run in store.search(query):
            return int(run.data.tags["mu.pid"])
        time.sleep(0.05)
    raise AssertionError(f"no unlearning was begun: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(
    swept: Store, tmp_path: Path, engine: str
) -> None:
    with sweeping(engine, write(tmp_path, MORE)) as process:
        pid = pid_at_work(swept, process)
        assert pid != process.pid
        os.kill(pid, signal.SIGKILL)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert "is tried again" in out
    assert {run.info.status for run in sweeps(swept)} == {"FINISHED"}
    assert finished(swept) == DONE
    assert finished_once(swept)
    # The run of the dead worker was closed, and continued by another one or left as it was.
    others = [run for run in runs(swept) if run.info.status != "FINISHED"]
    assert all(run.info.status == "FAILED" for run in others)
    assert all("worker" in run.data.tags["mu.error"] for run in others)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_stopped_sweep_ends_killed_with_no_process_left_and_goes_on(
    swept: Store, tmp_path: Path, engine: str
) -> None:
    grid = write(tmp_path, MORE)
    with sweeping(engine, grid) as process:
        worker = pid_at_work(swept, process)
        family = [one.pid for one in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + signal.SIGTERM, errors
    end = time.monotonic() + PATIENCE
    while any(psutil.pid_exists(pid) for pid in (worker, *family)):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert {run.info.status for run in runs(swept)} == {"FINISHED", "KILLED"}
    assert call("sweep", "--grid", grid) == 0
    assert finished(swept) == DONE
    assert finished_once(swept)


# --- what a worker answers ----------------------------------------------------------------


def test_a_defect_in_a_task_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_document: Any) -> Any:
        print("warning: the disk is nearly full")
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr(perform, "_perform", broken)
    answer = perform.perform(SimpleNamespace(device=DeviceOptions(), trust=""))
    assert answer["error"] == "ZeroDivisionError: one two"
    assert "in broken" in answer["traceback"]
    assert answer["warnings"] == ["warning: the disk is nearly full"]


def test_a_worker_on_another_machine_trusts_whom_the_sweep_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[perform.Job] = []
    anything = MagicMock()
    for name in ("Finder", "open_engine", "Board", "close_runs_below"):
        monkeypatch.setattr(sweep_run, name, anything)
    monkeypatch.setattr(sweep_run, "oracle_of", lambda *_: None)
    monkeypatch.setattr(sweep_run, "drive", lambda *given: jobs.append(given[3](anything)))
    monkeypatch.setenv("MU_TRUST", "theirs.nets, none")
    task = SimpleNamespace(results=MagicMock())
    sweep_run._drive(anything, task, "id", lambda _: None)  # type: ignore[arg-type]
    monkeypatch.setenv("MU_TRUST", "known.here")  # on the worker's machine
    seen: list[list[str]] = []
    monkeypatch.setattr(perform, "_perform", lambda _: seen.append(words()))
    perform.perform(replace(jobs[0], device=DeviceOptions()))
    assert seen == [["known.here", "theirs.nets", "none"]]
