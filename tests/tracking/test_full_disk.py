"""A full disk: nothing half written stays, and one line says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import SafetensorError

from mu.cli.main import run as run_command
from mu.errors import UserError, full_disk
from mu.tracking import Store, connect
from mu.tracking.run_files import RunFiles
from mu.training.progress import write_whole
from tests.conftest import store_uri
from tests.processes import ROOT, environment, run_python
from tests.tracking.test_waiting import kept_in


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "file", b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", b"after")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_what_a_killed_process_left_of_a_file_goes(store: Store) -> None:
    files = RunFiles(store, store.client.create_run(store.experiment_id).info.run_id)
    files.put("references/001.npz", b"one")
    assert files.local is not None
    (files.local / "references" / ".001.npz.3577").write_bytes(b"on")
    files.put("references/001.npz", b"two")
    assert [one.name for one in (files.local / "references").iterdir()] == ["001.npz"]
    assert (files.local / "references" / "001.npz").read_bytes() == b"two"


def caused(cause: Exception) -> Exception:
    try:
        raise ValueError("the plot could not be made") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device", "/x/y"), True),
        (OSError(122, "whatever"), True),
        (SafetensorError("I/O error: No space left on device (os error 28)"), True),
        (caused(OSError(28, "No space left on device")), True),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), True),
        (OSError(13, "Permission denied"), False),
        (caused(KeyError("x")), False),
    ],
)
def test_full_disks_are_known(
    error: Exception, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    import click

    assert (full_disk(error) is not None) == full

    def work() -> None:
        raise error

    ending = SystemExit if full else type(error)
    with pytest.raises(ending):
        run_command(lambda _: click.Command("x", callback=work), [])
    if full:
        said = capsys.readouterr().err
        assert said.startswith("error: a disk is full (")
        assert said.count("\n") == 1
        assert "make room" in said
    assert not isinstance(error, UserError)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB, of which the store's tables take one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_store_on_a_full_disk(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = store_uri(small / "mlflow.db")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    extra = {"MLFLOW_TRACKING_URI": uri, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}

    def program(*words: str) -> subprocess.CompletedProcess[str]:
        return run_python("-m", *words, env=environment() | extra, cwd=small)

    line = ["--epochs", "8", "--train_size", "300", "--rate", "0.5", "--device", "cpu"]
    done = program("entrypoints.prune", *line)
    assert done.returncode == 2, done.stderr
    for words in ("Traceback", "sqlalche", "[SQL"):
        assert words not in done.stderr
    lines = [one for one in done.stderr.splitlines() if " INFO mlflow" not in one]
    assert [one.partition(" ")[0] for one in lines] == ["prune", "warning:", "error:"]
    assert "No space left on device" in lines[2]
    folder = kept_in(done.stderr)
    # Of progress only whole files are there.
    left = [one.name for one in small.rglob("*") if one.is_file() and one.name.startswith(".")]
    assert left == []

    subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
    done = program("mu.cli.mu", "sync", str(folder))
    assert "it is FINISHED" in done.stdout, done.stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (run,) = connect().search("")
    assert run.info.status == "FINISHED"
    assert "mu.error" not in run.data.tags
    history = connect().client.get_metric_history(run.info.run_id, "loss")
    assert [one.step for one in history] == list(range(8 + 7))  # before and after pruning
    import mu

    assert mu.load_model(run.info.run_id) is not None
