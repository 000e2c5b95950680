"""Processes of torch's launcher: nothing that befalls one is a hang, and the user reads why."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from mu.distributed import launch
from mu.distributed.place import Place, place
from mu.runs import Run
from mu.tracking import connect
from mu.tracking.silent import SilentClient
from tests.helpers import refused
from tests.processes import PATIENCE, ROOT, environment, python, run_python

slow = pytest.mark.slow
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def failing(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python(
        "-m", "tests.distributed.failing", "--device", "cpu", *arguments,
        env=environment({"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(PATIENCE)}), timeout=5 * PATIENCE,
    )  # fmt: skip


@slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_mistake_that_one_rank_finds_is_told_in_one_line(rank: int) -> None:
    done = failing("--devices", "2", "--rank", str(rank))
    assert done.returncode == 2
    assert done.stderr == "error: the image 'a.jpg' is truncated; replace it\n"
    assert done.stdout.startswith("rank 0 prints")
    assert "rank 1 prints" not in done.stdout


@slow
def test_a_defect_shows_where_it_came_from() -> None:
    done = failing("--devices", "2", "--how", "defect")
    assert done.returncode == 1
    assert "process 2 of 2:\nTraceback" in done.stderr
    assert "ZeroDivisionError: of one rank" in done.stderr
    assert "failing.py" in done.stderr
    assert "ChildFailedError" not in done.stderr


@slow
def test_ranks_end_with_the_launcher_however_it_ends(tmp_path: Path) -> None:
    line = ("-m", "tests.distributed.failing", "--device", "cpu", "--devices", "2")
    with python(*line, "--folder", str(tmp_path)) as process:
        ranks = _started(tmp_path)
        process.kill()
    _, alive = psutil.wait_procs(ranks, timeout=PATIENCE)
    assert not alive


def _started(folder: Path) -> list[psutil.Process]:
    end = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < end:
        texts = [path.read_text() for path in folder.glob("*.pid")]
        if len(texts) == 2 and all(texts):
            return [psutil.Process(int(text)) for text in texts]
        time.sleep(0.05)
    raise AssertionError("the ranks did not start")


SCRIPT = """
import os
import mu
run = mu.Run(device="cpu")
os.write(1, f"{run.ranks.rank} of {run.devices}\\n".encode())
"""


@slow
def test_a_script_is_started_by_torchrun_like_any_other(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(script)],
        capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=5 * PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "0 of 2", "1 of 2"]


# --- without other processes --------------------------------------------------------------


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(LAUNCHER, ("1", "2", "0", "1"), strict=True):
        monkeypatch.setenv(name, value)


def test_alone_where_no_launcher_started_it() -> None:
    assert place() == Place(0, 1, 0, 1)
    assert place().is_first
    assert Run(device="cpu").devices == 1


def test_several_processes_are_torchruns_to_start() -> None:
    with refused("devices=2", "torchrun --nproc-per-node=2", "notebook"):
        Run(device="cpu", devices=2)


@pytest.mark.usefixtures("second_of_two")
def test_another_number_than_the_launchers_is_refused() -> None:
    assert place() == Place(1, 2, 0, 1)
    assert not place().one_machine
    assert str(place()) == "process 2 of 2"
    with refused("devices=3", "started 2 processes", "leave devices out"):
        Run(device="cpu", devices=3)


@pytest.mark.usefixtures("second_of_two")
def test_a_store_that_is_a_file_is_refused_on_several_machines(tmp_path: Path) -> None:
    with refused("is a file of one machine", "mlflow server"):
        connect(f"sqlite:///{tmp_path}/mlflow.db")


def test_the_second_rank_writes_to_no_store(store, monkeypatch) -> None:
    for name, value in zip(LAUNCHER, ("1", "2", "1", "2"), strict=True):
        monkeypatch.setenv(name, value)
    silent = connect()
    assert isinstance(silent.client, SilentClient)
    run_id = store.client.create_run("0").info.run_id
    silent.client.log_metric(run_id, "loss", 1.0)
    silent.client.set_terminated(run_id, "FAILED")
    run = silent.client.get_run(run_id)
    assert run.data.metrics == {}
    assert run.info.status == "RUNNING"


def test_one_process_has_no_normalisation_to_synchronise() -> None:
    with refused("sync_bn=True", "devices=1", "leave sync_bn out"):
        Run(device="cpu", sync_bn=True)


def failure(code: int) -> ProcessFailure:
    return ProcessFailure(local_rank=0, pid=1, exitcode=code, error_file="")


KILL, TERM = -signal.SIGKILL, -signal.SIGTERM


@pytest.mark.parametrize(
    ("codes", "status", "reason"),
    [
        ({0: 2}, 2, None),
        ({1: 2, 0: 2}, 2, None),
        ({1: KILL, 0: 2}, 2, None),  # the first one said so
        ({1: KILL, 0: TERM}, 2, "process 2 of 2 was ended by SIGKILL (memory may have run out)"),
        ({1: -signal.SIGSEGV, 0: KILL}, 2, "process 2 of 2 was ended by SIGSEGV"),
        ({0: KILL, 1: 2}, 2, "process 1 of 2 was ended by SIGKILL"),
        ({1: 1, 0: 1}, 1, None),
        ({1: 1, 0: KILL}, 1, "process 2 of 2 failed, so"),
        ({0: 143}, 143, None),
    ],
)
def test_what_ranks_that_failed_mean(codes, status, reason) -> None:
    found = launch._how({rank: failure(code) for rank, code in codes.items()}, 2)
    assert found[0] == status
    assert (found[1] is None) if reason is None else found[1].startswith(reason)


def test_more_gpus_than_there_are_are_refused(monkeypatch) -> None:
    from mu.devices import check_devices

    monkeypatch.setattr("mu.devices.pick_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with refused("devices=3", "2 GPUs", "device=cpu"):
        check_devices("auto", 3, sync_bn=False)
    with refused("device=cuda:1", "give device=cuda"):
        check_devices("cuda:1", 2, sync_bn=False)
