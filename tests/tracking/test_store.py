"""The store is created once, found by name, and says in one line what is wrong with it."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from mu.tracking import Store, connect
from mu.tracking import store as store_module
from tests.conftest import store_uri
from tests.helpers import refused
from tests.processes import free_port, run_python
from tests.tracking.handovers import hand_over

UNKNOWN = "0" * 32
# The children are forked where everything is imported already, so that they meet at the store.
AT_ONCE = """
import multiprocessing, sys
from mu.tracking import connect

def work(uri, barrier):
    barrier.wait()
    store = connect(uri)
    store.client.create_run(store.experiment_id)

context = multiprocessing.get_context("fork")
barrier = context.Barrier(4)
children = [context.Process(target=work, args=(sys.argv[1], barrier)) for _ in range(4)]
for child in children:
    child.start()
for child in children:
    child.join()
print(*[child.exitcode for child in children])
"""


@pytest.mark.slow
def test_processes_that_create_a_store_at_once_leave_a_sound_one(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "mlflow.db"
    done = run_python("-c", AT_ONCE, store_uri(path))
    assert done.stdout.split() == ["0"] * 4, done.stderr
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert len(connection.execute("SELECT * FROM alembic_version").fetchall()) == 1
    assert len(list(connect(store_uri(path)).search(""))) == 4


def test_lock_lies_beside_the_file_even_where_mlflow_encodes_the_path(
    empty_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "my store"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    connect(store_uri(folder / "mlflow.db").replace(" ", "%20"))
    assert (folder / "mlflow.db.lock").exists()


def test_a_lock_that_another_process_keeps_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(store_module, "_LOCK_SECONDS", 0.05)
    lock = str(tmp_path / "mlflow.db.lock")
    with FileLock(lock), refused(lock, "end it"):
        connect(store_uri(tmp_path / "mlflow.db"))


# --- the experiment -----------------------------------------------------------------------


def test_default_experiment(store: Store) -> None:
    assert store.experiment_id == "0"


def test_experiment_of_the_launcher_goes_before_a_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", store.client.create_experiment("launched"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    assert connect().client.get_experiment(connect().experiment_id).name == "launched"


def test_experiment_by_name_is_made_once_and_found_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    first = connect().experiment_id
    assert first != "0"
    assert connect().experiment_id == first


def test_experiment_that_another_process_makes_in_the_same_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    create = type(store.client).create_experiment

    def too_late(client: object, name: str) -> str:
        create(client, name)  # the other process
        return create(client, name)

    monkeypatch.setattr(type(store.client), "create_experiment", too_late)
    assert connect().client.get_experiment(connect().experiment_id).name == "digits"


@pytest.mark.parametrize("number", ["77", "abc"])
def test_unknown_experiment(store: Store, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
    with refused(f"MLFLOW_EXPERIMENT_ID={number}", "MLFLOW_EXPERIMENT_NAME"):
        connect()


def test_deleted_experiment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.client.delete_experiment(store.client.create_experiment("gone"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "gone")
    with refused("'gone' was deleted", "mlflow experiments restore --experiment-id 1"):
        connect()


# --- stores that cannot be used -----------------------------------------------------------


@pytest.mark.parametrize("uri", ["file:/tmp/mlruns", "./mlruns", "/tmp/mlruns"])
def test_folders_are_no_stores_any_more(uri: str) -> None:
    with refused(repr(uri), "MLFLOW_TRACKING_URI=sqlite:///mlflow.db"):
        connect(uri)


def test_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("no database " * 1000)
    with refused(store_uri(path), "is not a SQLite database", "MLFLOW_TRACKING_URI"):
        connect(store_uri(path))
    assert path.read_text() == "no database " * 1000


def test_store_in_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused("cannot be used", "file/mlflow.db"):
        connect(store_uri(tmp_path / "file" / "mlflow.db"))


def test_unknown_scheme_and_missing_driver_without_the_password() -> None:
    with refused("'foo://bar' cannot be used"):
        connect("foo://bar")
    with refused("postgresql://host/base") as refusal:
        connect("postgresql://me:secret@host/base")
    assert "secret" not in refusal.message


def test_server_that_is_down_is_told_at_once() -> None:
    port = free_port()
    start = time.monotonic()
    with refused(
        f"no tracking server answers at http://127.0.0.1:{port} (Connection refused)",
        "start it, or unset MLFLOW_TRACKING_URI",
    ) as refusal:
        connect(f"http://me:secret@127.0.0.1:{port}")
    assert time.monotonic() - start < 20
    assert "secret" not in refusal.message


def test_server_that_accepts_but_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_module._AT_FIRST["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"  # twice; 2 s here
    monkeypatch.setitem(store_module._AT_FIRST, "MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with refused("no tracking server answers", "(timed out)"):
            connect(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - start < 10


def test_what_the_user_says_of_patience_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    seen = {}

    def spy(*_: object, **__: object) -> None:
        seen.update(os.environ)

    monkeypatch.setattr(type(store.client), "search_experiments", spy)
    connect()
    assert seen["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert seen["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")


# --- runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("run_id", [UNKNOWN, "no such run", "../../etc"])
def test_unknown_run(store: Store, run_id: str) -> None:
    with refused(repr(run_id), store.uri, "MLFLOW_TRACKING_URI"):
        store.run(run_id)


def test_deleted_run(store: Store) -> None:
    run_id = hand_over(store)
    store.client.delete_run(run_id)
    with refused(run_id, "was deleted", f"mlflow runs restore --run-id {run_id}"):
        store.run(run_id)
    assert list(store.search("")) == []


def test_a_store_that_fails_is_not_taken_for_an_unknown_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MlflowException("(sqlite3.OperationalError) disk I/O error")

    monkeypatch.setattr(store.client, "get_run", fails)
    monkeypatch.setattr(store.client, "search_runs", fails)
    with refused(store.uri, "disk I/O error"):
        store.run(UNKNOWN)
    with refused(store.uri, "disk I/O error"):
        next(store.search(""))


def test_search_reads_all_pages_newest_first(store: Store) -> None:
    made = [store.client.create_run("0", start_time=number).info.run_id for number in range(1, 121)]
    assert [run.info.run_id for run in store.search("")] == made[::-1]


# --- shortened IDs ------------------------------------------------------------------------


def test_an_id_may_be_shortened(store: Store) -> None:
    run_id = hand_over(store)
    other = hand_over(store)
    shortest = next(n for n in range(4, 33) if run_id[:n] != other[:n])
    assert {store.full_id(run_id[:n]) for n in range(shortest, 33)} == {run_id}
    assert store.full_id(UNKNOWN) == UNKNOWN  # of another experiment, it may be
    store.client.delete_run(run_id)
    with refused("no run of the experiment begins with"):
        store.full_id(run_id[:12])


def test_ids_that_begin_alike_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [store.client.create_run("0", run_name=f"net {number}") for number in range(6)]
    monkeypatch.setattr(Store, "search", lambda *_: iter(runs))
    first = f"{runs[0].info.run_id} net 0, {runs[1].info.run_id} net 1"
    with refused("6 runs begin with 'abcd'", first, "net 3, and 2 more", "give more digits"):
        store.full_id("abcd")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "give at least 4 digits"),
        ("zzzz", "no run of the experiment begins with 'zzzz'; `mu runs` lists them"),
        ("%%%%", "no run of the experiment begins with '%%%%'"),
        ("____", "no run of the experiment begins with '____'"),
        ("a' or", "no run of the experiment begins with"),
    ],
)
def test_texts_that_no_id_begins_with(store: Store, text: str, words: str) -> None:
    hand_over(store)
    with refused(words):
        store.full_id(text)


def test_digits_that_several_ids_begin_with(store: Store) -> None:
    made = [hand_over(store) for _ in range(2)]
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for number, run_id in enumerate(made):
            new = f"abcd{number}{run_id[5:]}"
            connection.execute("UPDATE runs SET run_uuid = ? WHERE run_uuid = ?", (new, run_id))
        connection.commit()
    with refused("2 runs begin with 'abcd'", "give more digits"):
        store.full_id("abcd")
    assert store.full_id("abcd1").startswith("abcd1")
