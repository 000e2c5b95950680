"""The entry points by many processes: same artifacts, one that tracks, and no hang."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

import mu
from mu.tracking import Store, connect
from mu.training.progress import FOLDER, progress_files
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.forks import SERVER
from tests.processes import PATIENCE, ROOT, environment, free_port, python, run_python, start

pytestmark = pytest.mark.slow
TWO = ("--device", "cpu", "--devices", "2")
SOME = ("--train_size", "400")
LONG = 5 * PATIENCE


@pytest.fixture(autouse=True)
def _patient_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose cores are taken, ranks need longer to end than the launcher waits."""
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(PATIENCE))


def entry(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", f"entrypoints.{name}", *arguments, timeout=LONG)


def runs(store: Store) -> list:
    return sorted(store.search(""), key=lambda run: run.info.start_time)


def steps(store: Store, run_id: str) -> list[int]:
    return [one.step for one in store.client.get_metric_history(run_id, "loss")]


def test_a_backdoor_by_two_processes_is_one_run_each(store):
    """Every number is logged once, and what later runs take is whole."""
    line = ["--prune_rate", "0.95", "--prune_epochs", "2", "--prune_rewind_epoch", "1"]
    line += ["--prune_train_size", "200"]  # of which 20 are poisoned
    done = entry("backdoor", *TWO, *line, "--epochs", "2", "--oracle_run_id", "train")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("│ oracle") == 1, done.stdout
    cleansed, poisoned, oracle = runs(store)
    assert {run.info.status for run in (cleansed, poisoned, oracle)} == {"FINISHED"}
    assert steps(store, poisoned.info.run_id) == list(range(3))
    assert steps(store, cleansed.info.run_id) == list(range(2))
    assert cleansed.data.metrics["samples_seen"] == 2 * 180
    assert cleansed.data.metrics["peak_memory_mb"] > 0
    assert {"ASR", "ASR_before", "robust_acc", "gap"} <= cleansed.data.metrics.keys()
    for run in (cleansed, poisoned, oracle):
        checkpoint = mu.load_checkpoint(run.info.run_id)
        assert checkpoint.mask.sparsity == pytest.approx(95, abs=0.1)
        for name in checkpoint.mask:
            pruned = checkpoint.model.get_parameter(name)[~checkpoint.mask[name]]
            assert not pruned.any()
    present = store.client.list_artifacts(poisoned.info.run_id)
    assert not any("resume" in one.path for one in present)


GRID = """
originals: {dataset: digits, epochs: 2, train_size: 400, batch_size: 16}
forget: ["class:0"]
methods: [{ft: {epochs: 1}}]
oracle: none
"""


def test_a_sweep_whose_tasks_have_two_processes_each(finished_prune, tmp_path, monkeypatch):
    path = copy_store(finished_prune.path, tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID)
    done = entry("sweep", *TWO, "--grid", str(grid))
    assert done.returncode == 0, done.stderr
    found = runs(connect())
    assert {run.info.status for run in found} == {"FINISHED"}
    assert [run.data.tags["mu.entry"] for run in found] == ["prune", "sweep", "unlearn"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (["--devices", "0"], "devices"),
        (["--devices", "two"], "devices"),
        (["--devices", "1000", "--device", "cpu"], "cores; give devices="),
        (["--sync_bn", "true", "--device", "cpu"], "leave sync_bn out"),
        (["--devices", "2", "--device", "cpu:0"], "give device=cpu"),
        (["--devices", "2", "--epochs", "many"], "epochs='many' is not of type int"),
    ],
)
def test_devices_that_cannot_be_are_refused_before_a_run_is_opened(store, capsys, line, text):
    assert call("prune", *line) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert runs(store) == []


# --- processes that die -------------------------------------------------------------------


def begun(store: Store, process: subprocess.Popen[str]) -> tuple[str, list[psutil.Process]]:
    """The run that a child has opened, once epochs of it are kept, and its ranks in order."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1]
        for run in runs(store):
            if progress_files(Path(run.info.artifact_uri) / FOLDER):
                return run.info.run_id, ranks_of(process)
        time.sleep(0.1)
    raise AssertionError("no epoch was kept")


def ranks_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = [one for one in psutil.Process(process.pid).children() if one.name() != SERVER]
    assert len(found) == 2
    return sorted(found, key=lambda one: (one.create_time(), one.pid))  # as they were started


def started(arguments: Sequence[str]):
    return python("-m", "entrypoints.prune", *TWO, *arguments)


def test_a_rank_that_is_killed_ends_the_run_failed_and_one_process_goes_on(store):
    with started(["--epochs", "10", "--rewind_epoch", "1", "--rate", "0.9", *SOME]) as process:
        run_id, ranks = begun(store, process)
        ranks[1].kill()
        error = process.communicate(timeout=LONG)[1]
    assert process.returncode == 2
    assert error.strip().splitlines()[-1].startswith("error: process 2 of 2 was ended")
    assert f"resume_run_id={run_id}" in error
    assert "Traceback" not in error
    run = store.run(run_id)
    assert run.info.status == "FAILED"
    assert "process 2 of 2" in run.data.tags["mu.error"]
    assert not psutil.wait_procs(ranks, timeout=PATIENCE)[1]

    assert call("prune", "--resume_run_id", run_id, "--device", "cpu") == 0
    assert store.run(run_id).info.status == "FINISHED"
    assert steps(store, run_id) == list(range(10 + 9))


def test_a_first_rank_that_is_killed_has_its_run_closed(store):
    with started(["--epochs", "200"]) as process:
        run_id, ranks = begun(store, process)
        ranks[0].kill()
        error = process.communicate(timeout=LONG)[1]
    assert process.returncode == 2
    assert error.strip().splitlines()[-1].startswith("error: process 1 of 2 was ended by SIGKILL")
    run = store.run(run_id)
    assert run.info.status == "FAILED"
    assert "SIGKILL" in run.data.tags["mu.error"]
    assert not psutil.wait_procs(ranks, timeout=PATIENCE)[1]


def test_a_signal_ends_the_run_killed_and_all_processes(store):
    number = signal.SIGTERM
    with started(["--epochs", "200"]) as process:
        run_id, ranks = begun(store, process)
        process.send_signal(number)
        error = process.communicate(timeout=LONG)[1]
    assert process.returncode == 128 + number
    assert f"resume_run_id={run_id}" in error
    assert "Traceback" not in error
    assert store.run(run_id).info.status == "KILLED"
    assert not psutil.wait_procs(ranks, timeout=PATIENCE)[1]


# --- several machines ---------------------------------------------------------------------

# Puts a fork into a network namespace, if one is named, and runs a module there.
ENTER = """
import ctypes, os, runpy, sys
_, namespace, module, *rest = sys.argv
if namespace:
    where = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    assert ctypes.CDLL(None).setns(where, 0x40000000) == 0  # CLONE_NEWNET
sys.argv[1:] = rest
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Machine:
    """Something that starts processes as another machine would.

    Parameters
    ----------
    namespace
        Of the network, where it is not this machine's.
    variables
        Of its processes.
    """

    def __init__(self, address: str, namespace: str = "", **variables: str) -> None:
        self.address, self.namespace, self.variables = address, namespace, variables

    def start(
        self, *arguments: str, folder: Path, new: bool = False, **extra: str
    ) -> subprocess.Popen[str]:
        """``python -m`` of these; ``new`` as in :mod:`tests.processes`."""
        return start(
            "-c", ENTER, self.namespace, *arguments, cwd=folder, new=new,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**environment(), **self.variables, **extra},
        )  # fmt: skip


@contextlib.contextmanager
def two_machines() -> Iterator[list[Machine]]:
    """Two network namespaces with a cable between them, and no other way to each other.

    Where they cannot be made, this machine twice.
    """
    names = [f"mu{os.getpid() % 10_000}{end}" for end in "ab"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
        except (OSError, subprocess.CalledProcessError):
            yield [Machine("127.0.0.1", GLOO_SOCKET_IFNAME="lo"), Machine("127.0.0.1")]
            return
        machines = []
        for number, name in enumerate(names, 1):
            address = f"10.213.47.{number}"
            ip("link", "set", name, "netns", name)
            for words in (
                ["addr", "add", f"{address}/24", "dev", name],
                ["link", "set", name, "up"],
                ["link", "set", "lo", "up"],
            ):
                ip("-n", name, *words)
            machines.append(Machine(address, name, GLOO_SOCKET_IFNAME=name))
        yield machines
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextlib.contextmanager
def serving(machine: Machine, empty_store: Path, folder: Path) -> Iterator[str]:
    """The address of a tracking server on a machine."""
    port = free_port()
    path = copy_store(empty_store, folder, artifacts="mlflow-artifacts:")
    process = machine.start(
        "mlflow", "server", "--host", machine.address, "--port", str(port), "--workers", "1",
        "--allowed-hosts", "*", "--backend-store-uri", store_uri(path),
        "--artifacts-destination", str(folder / "artifacts"),
        folder=folder, new=True, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
    )  # fmt: skip
    address = f"http://{machine.address}:{port}"
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Application startup complete" in line:
                break
        yield address
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.communicate(timeout=PATIENCE)


def test_torchrun_over_two_machines_makes_one_run(empty_store, tmp_path):
    """The machine without the tracking run's rank ends last or first; both end well."""
    with (
        two_machines() as machines,
        serving(machines[0], empty_store, tmp_path / "store") as uri,
    ):
        port = free_port()
        line = [
            "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--node-rank={}",
            f"--master-addr={machines[0].address}", f"--master-port={port}",
            "-m", "entrypoints.prune", "--device", "cpu", "--epochs", "2", "--rewind_epoch", "1",
            "--train_size", "100",
        ]  # fmt: skip
        nodes = [
            one.start(*(word.format(rank) for word in line), folder=ROOT, MLFLOW_TRACKING_URI=uri)
            for rank, one in enumerate(machines)
        ]
        texts = [one.communicate(timeout=LONG)[0] for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0], "\n".join(texts)
    assert "TA" in texts[0]
    assert "TA" not in texts[1]
    store = connect(store_uri(tmp_path / "store" / "mlflow.db"))
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert steps(store, run.info.run_id) == list(range(3))
    assert run.data.tags["mu.entry"] == "prune"
