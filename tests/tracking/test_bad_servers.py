"""Real processes before a real server behind a bad connection: slow, silent or gone."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mu.tracking import Store, connect
from mu.tracking.signals import CLOSING_SECONDS
from mu.training.progress import FOLDER
from tests.processes import PATIENCE, environment, start
from tests.tracking.proxies import Proxy, proxy_of
from tests.tracking.test_server import serving
from tests.tracking.test_waiting import kept_in, until

pytestmark = pytest.mark.slow
LINE = ["--method", "ft", "--lr", "0.1", "--device", "cpu", "--prune_train_size", "300", "--epochs"]


@pytest.fixture(scope="module")
def proxy(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("server")
    original = ["--epochs", "1", "--train_size", "300", "--rate", "0.5", "--device", "cpu"]
    with serving(empty_store, folder) as server, proxy_of(server.uri) as found:
        with program(found, folder, "entrypoints.prune", *original) as process:
            assert process.wait(PATIENCE) == 0
        yield found


@pytest.fixture
def direct(proxy: Proxy) -> Iterator[Store]:
    """The store without the bad connection, which is a good one before each test."""
    proxy.silent, proxy.down, proxy.seconds = False, False, 0.0
    proxy.released.clear()
    yield connect(f"http://{proxy.target}")
    proxy.released.set()


@contextmanager
def program(proxy: Proxy, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with start(
        "-m", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment({"MLFLOW_TRACKING_URI": proxy.uri, "TMPDIR": str(folder)}),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def after_epochs(proxy: Proxy, process: subprocess.Popen[str]) -> None:
    """Wait until progress of a few epochs is on the server."""
    before = len(proxy.requests)
    until(
        lambda: (
            process.poll() is not None
            or sum("PUT" in one and "epoch" in one for one in proxy.requests[before:]) > 2
        )
    )
    assert process.poll() is None, process.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_a_run_is_stopped_while_the_server_is_silent_and_delivered_later(
    proxy: Proxy, direct: Store, tmp_path: Path, number: signal.Signals
) -> None:
    with program(proxy, tmp_path, "entrypoints.unlearn", *LINE, "500") as process:
        after_epochs(proxy, process)
        proxy.silent = True
        since = len(proxy.requests)
        until(lambda: len(proxy.requests) > since)
        assert process.poll() is None
        process.send_signal(number)
        start = time.monotonic()
        _, errors = process.communicate(timeout=PATIENCE)
        took = time.monotonic() - start
    print(f"{number.name}: ended after {took:.1f} s")
    assert process.returncode == 128 + number, errors
    assert took < 6 * CLOSING_SECONDS  # minutes, were it not bounded
    assert errors.splitlines()[-1] == f"stopped by {number.name}"
    run = next(direct.search("tags.`mu.entry` = 'unlearn'"))
    run_id = run.info.run_id
    assert f"resume_run_id={run_id}" in errors
    folder = kept_in(errors)
    assert folder.parent == tmp_path
    assert run.info.status == "RUNNING"
    proxy.silent = False
    proxy.released.set()

    with program(proxy, tmp_path, "mu.cli.mu", "sync") as sync:
        said, errors = sync.communicate(timeout=PATIENCE)
    assert sync.returncode == 0, errors
    assert "it is KILLED" in said
    run = direct.run(run_id)
    assert (run.info.status, run.data.tags["mu.error"]) == ("KILLED", f"stopped by {number.name}")
    assert not folder.exists()
    with program(proxy, tmp_path, "mu.cli.mu", "sync") as again:
        assert again.communicate(timeout=PATIENCE)[0] == "nothing waits to be delivered\n"
    kept = [one.path for one in direct.client.list_artifacts(run_id, FOLDER)]
    assert f"{FOLDER}/job.json" in kept
    assert any("epoch" in one for one in kept)


def test_an_outage_costs_nothing_and_all_arrives(
    proxy: Proxy, direct: Store, tmp_path: Path
) -> None:
    """It hangs up in the middle of the unlearning, and is back before the end."""
    with program(proxy, tmp_path, "entrypoints.unlearn", *LINE, "30") as process:
        after_epochs(proxy, process)
        proxy.down = True
        threading.Timer(8, lambda: setattr(proxy, "down", False)).start()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    run = next(direct.search("tags.`mu.entry` = 'unlearn'"))
    assert run.info.status == "FINISHED"
    history = direct.client.get_metric_history(run.info.run_id, "loss")
    assert [one.step for one in history] == list(range(30))
    assert FOLDER not in {one.path for one in direct.client.list_artifacts(run.info.run_id)}
    assert not list(tmp_path.glob("mu-*"))
