"""Every entry once through MLflow's own launcher, all in one store; and a mistake."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow.exceptions import ExecutionException

from mu.tracking import Store, connect
from tests.conftest import FinishedUnlearn, copy_store, store_uri
from tests.processes import ROOT, environment, start
from tests.test_main_job import launch, newest, runs

pytestmark = pytest.mark.slow

POPEN = subprocess.Popen
DECLARED = {
    name: set(entry["parameters"])
    for name, entry in yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"].items()
}
GIVEN = {
    "prune": "epochs=1 rate=9e-1",
    "unlearn": "prune_run_id={original} method=ga forget=class:3",
    "backdoor": "method=ft epochs=1 prune_epochs=1",
    "lira": "unlearn_run_id={unlearned} references=2",
    "evaluate": "run_id={unlearned} metrics=ece,gap",
    "transfer": "unlearn_run_id={unlearned} target=tests.transfer.targets:bright transfer_epochs=1",
    "claims": "claims={folder}/claims.yaml",
    "erase": "records={folder}/request.csv prune_run_id={original} method=ga",
    "compare": "run_ids={unlearned}",
    "sweep": "grid={folder}/grid.yaml",
    "tune": "prune_run_id={original} method=ga forget=class:3 trials=2",
    "dataset": "source=digits out={folder}/digits.lmdb",
    "export": "run_id={unlearned} format=safetensors out={folder}/export",
}
GRID = {
    "originals": {"rate": 0, "epochs": 1, "train_size": 100},
    "forget": "class:0",
    "methods": ["ga"],
    "device": "cpu",
}
CLAIM = {"claim": "-", "source": "-", "grid": "grid.yaml", "metric": "UA", "at_most": {"value": 1}}
FAILS = {"claims"}  # the runs are not there: its status tells


@pytest.fixture(scope="module")
def store(
    finished_unlearn: FinishedUnlearn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    path = copy_store(finished_unlearn.path, tmp_path_factory.mktemp("launched"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        yield connect()


def forked(command: Any, **settings: Any) -> subprocess.Popen[str]:
    """The program that MLflow has the shell start, without the shell."""
    match command:
        case ["bash", "-c", str(line)]:
            return start(*shlex.split(line.removeprefix("python ")), **settings)
        case _:
            return POPEN(command, **settings)


def fork_what_is_launched(patch: pytest.MonkeyPatch) -> None:
    """Have the function that ``mlflow run`` calls start a fork; calling it saves a process, too."""
    patch.setattr(subprocess, "Popen", forked)
    for name, value in environment().items():
        patch.setenv(name, value)


@pytest.mark.parametrize("entry", DECLARED)
def test_an_entry(
    entry: str,
    store: Store,
    finished_unlearn: FinishedUnlearn,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork_what_is_launched(monkeypatch)
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM]))
    (tmp_path / "request.csv").write_text("\n".join(["record", *map(str, range(60))]))
    names = {
        "original": finished_unlearn.original,
        "unlearned": finished_unlearn.unlearned[0],
        "folder": tmp_path,
    }
    given = dict(one.split("=", 1) for one in GIVEN[entry].format(**names).split())
    if "device" in DECLARED[entry]:
        given["device"] = "cpu"
    before = len(runs(store, f"tags.`mu.entry` = '{entry}'"))
    with pytest.raises(ExecutionException) if entry in FAILS else nullcontext():
        mlflow.run(str(ROOT), entry, parameters=given, env_manager="local")
    found = runs(store, f"tags.`mu.entry` = '{entry}'")
    assert len(found) > before
    run = next(one for one in found if "mlflow.parentRunId" not in one.data.tags)  # no trial
    assert run.info.status == ("FAILED" if entry in FAILS else "FINISHED")
    assert run.info.run_id in capfd.readouterr().out
    # As it was typed: MLflow logs it before the program starts.
    assert {name: run.data.params[name] for name in given} == given


def test_a_mistake(store: Store) -> None:
    done = launch("unlearn", forgets="class:1")
    assert done.returncode == 1
    assert "error: unknown option" in done.stderr
    run = newest(store)
    assert run.info.status == "FAILED"
    assert "'forgets'; did you mean forget" in run.data.tags["mu.error"]
