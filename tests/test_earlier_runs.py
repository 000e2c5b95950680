"""Runs that commit 01872e7 made are found, compared with and resumed by the code of today."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from mu.tracking import Store, connect
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.golden.record import FILES
from tests.test_main_job import newest

# A prune run of two epochs, its oracle for class 3, and ft, killed after the first of 3 epochs.
PRUNE = "9d0542a393724227a027b7669c022eb3"
ORACLE = "534f1f533a024b76b95a14f1a7e9f32c"
KILLED = "de28e1e93bd74af798eb64accd44fba4"


@pytest.fixture
def earlier(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of today's layout with those runs in it."""
    folder = tmp_path / "artifacts"
    with tarfile.open(FILES / "earlier" / "artifacts.tar.xz") as files:
        files.extractall(folder, filter="data")
    path = copy_store(empty_store, tmp_path / "store")
    text = (FILES / "earlier" / "rows.json").read_text().replace("FOLDER", str(folder))
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, rows in json.loads(text).items():
            for row in rows:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                values = list(row.values())
                connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    return connect()


def test_an_original_and_its_oracle_are_found(earlier: Store) -> None:
    line = ("--method", "ft", "--epochs", "1", "--forget", "class:3", "--device", "cpu")
    assert call("unlearn", *line) == 0
    tags = newest(earlier).data.tags
    assert (tags["mu.upstream"], tags["mu.oracle"]) == (PRUNE, ORACLE)
    assert "gap" in newest(earlier).data.metrics


def test_a_killed_unlearning_goes_on(earlier: Store) -> None:
    assert call("unlearn", "--resume_run_id", KILLED, "--device", "cpu") == 0
    run = earlier.run(KILLED)
    assert run.info.status == "FINISHED"
    history = earlier.client.get_metric_history(KILLED, "train_acc")
    assert [one.step for one in history] == [0, 1, 2]
    assert run.data.tags["mu.oracle"] == ORACLE
    assert run.data.tags["mu.resumed"] == "1"
