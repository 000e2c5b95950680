"""A real tracking server: a hand-over over HTTP, resuming, and a server that dies in mid-run."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mu.checkpoints import Checkpoint
from mu.cli.requests import Request
from mu.masks import Mask
from mu.tasks.prune import prune
from mu.tracking import Store, connect, load_mask, load_model, tracked
from mu.tracking import recorder as recorder_module
from mu.training.progress import FOLDER
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.helpers import refused
from tests.processes import PATIENCE, environment, free_port, python, run_python, start
from tests.tracking.handovers import hand_over, small_checkpoint
from tests.tracking.test_resuming_unlearn import interrupted_after

pytestmark = pytest.mark.slow


class Server:
    """An MLflow server in a process group of its own."""

    def __init__(self, empty_store: Path, folder: Path) -> None:
        port = free_port()
        path = copy_store(empty_store, folder, artifacts="mlflow-artifacts:")
        self.uri = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self._process = start(
                "-m", "mlflow", "server",
                "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", store_uri(path),
                "--artifacts-destination", str(folder / "artifacts"),
                stdout=log, stderr=log, cwd=folder, start_new_session=True, new=True,
                env={**environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )  # fmt: skip

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)

    def kill(self) -> None:
        """End the server and its workers outright."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)


@contextmanager
def serving(empty_store: Path, folder: Path) -> Iterator[Server]:
    server = Server(empty_store, folder)
    try:
        server.wait()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(empty_store, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def remote(server: Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    return connect()


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return small_checkpoint()


def test_a_hand_over_through_the_server(
    remote: Store, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    run_id = hand_over(remote, checkpoint, params={"rate": 0.95})
    run = remote.run(run_id)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert (run.info.status, run.data.params) == ("FINISHED", {"rate": "0.95"})
    assert load_mask(run_id) == checkpoint.mask
    state = load_model(run_id).state_dict()
    assert all(value.equal(state[name]) for name, value in checkpoint.model.state_dict().items())
    # As a run's page says to fetch it by hand.
    command = ["artifacts", "download", "-r", run_id, "-a", "mask", "-d", str(tmp_path)]
    assert run_python("-m", "mlflow", *command).returncode == 0
    assert Mask.load(tmp_path / "mask" / "mask.safetensors") == checkpoint.mask


def test_mistakes_over_the_wire(
    remote: Store, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused("no run of the experiment begins with '0123'"):
        load_mask("0123")
    killed = hand_over(remote, checkpoint, status="KILLED")
    with refused(killed, "KILLED"):
        load_mask(killed)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with refused("MLFLOW_EXPERIMENT_ID=77"):
        connect()


def progress_at(store: Store, run_id: str) -> list[str]:
    return [Path(one.path).name for one in store.client.list_artifacts(run_id, FOLDER)]


def test_a_killed_run_goes_on_from_what_it_had_uploaded(remote: Store) -> None:
    settings = {"epochs": 6, "train_size": 500, "rate": 0.5, "rewind_epoch": 1}
    device = {"device": "cpu"}
    line = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with python("-m", "entrypoints.prune", *line, "--device", "cpu") as process:
        deadline = time.monotonic() + PATIENCE
        names: list[str] = []
        while not any("epoch-000002" in name for name in names):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            for run in remote.search("tags.`mu.entry` = 'prune' and attributes.status = 'RUNNING'"):
                run_id = run.info.run_id
                names = progress_at(remote, run_id)
            time.sleep(0.05)
        process.kill()
        process.wait(PATIENCE)
    assert remote.run(run_id).info.status == "RUNNING"
    kept = progress_at(remote, run_id)
    assert 1 <= len(kept) <= 4  # removed after the upload of a new one, by another thread

    prune(Request(entry={"resume_run_id": run_id}, device=device))
    run = remote.run(run_id)
    assert run.info.status == "FINISHED"
    assert progress_at(remote, run_id) == []
    assert FOLDER not in {one.path for one in remote.client.list_artifacts(run_id)}
    history = remote.client.get_metric_history(run_id, "loss")
    assert sorted(one.step for one in history) == list(range(6 + 5))

    prune(Request(original=settings, device=device))
    again = next(remote.search("tags.`mu.entry` = 'prune'"))
    assert again.info.run_id != run_id
    for tag in ("mu.weights", "mu.mask"):
        assert again.data.tags[tag] == run.data.tags[tag]


def test_an_unlearning_goes_on_from_what_it_had_uploaded(remote: Store) -> None:
    settings = {"epochs": 1, "train_size": 300, "rate": 0.5}
    prune(Request(original=settings, device={"device": "cpu"}))
    line = (
        "--method",
        "ft",
        "--lr",
        "0.1",
        "--epochs",
        "3",
        "--device",
        "cpu",
        "--prune_train_size",
        "300",
    )
    interrupted_after(2, *line)
    run = next(remote.search("tags.`mu.entry` = 'unlearn'"))
    run_id = run.info.run_id
    names = progress_at(remote, run_id)
    assert "job.json" in names
    assert len(names) == 3
    assert call("unlearn", "--resume_run_id", run_id, "--device", "cpu") == 0
    assert call("unlearn", *line) == 0
    again = next(remote.search("tags.`mu.entry` = 'unlearn'"))
    run = remote.run(run_id)
    assert again.info.run_id != run_id
    assert again.data.tags["mu.weights"] == run.data.tags["mu.weights"]
    history = remote.client.get_metric_history(run_id, "loss")
    assert sorted(one.step for one in history) == [0, 1, 2]
    assert FOLDER not in {one.path for one in remote.client.list_artifacts(run_id)}


def test_a_server_that_dies_in_mid_run_takes_nothing_with_it(
    server: Server, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The last test of this file: it is the server of the others that dies."""
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = connect(server.uri)
    said = refused("could not be stored", "no tracking server answers", "Connection refused")
    with said, tracked(store, "prune", "x") as recorder:
        recorder.metrics({"loss": 1.0}, 0)
        deadline = time.monotonic() + PATIENCE
        while "loss" not in store.run(recorder.run_id).data.metrics:
            assert time.monotonic() < deadline
        server.kill()
        for step in range(1, 6):  # the training goes on
            recorder.metrics({"loss": 1.0 / step}, step)
            time.sleep(0.1)
        recorder.tags({"mu.data": "abc"})
        checkpoint.save(recorder.folder)
    assert str(recorder.folder) in said.message
    assert Checkpoint.load(recorder.folder).mask == checkpoint.mask
    warnings = capsys.readouterr().err.splitlines()
    assert len([one for one in warnings if one.startswith("warning: ")]) == 1
