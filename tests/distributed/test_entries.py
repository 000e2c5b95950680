"""The entry points on two processes: same artifacts, one that logs, and no hang when one dies."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

import mu
from entrypoints import backdoor, evaluate, prune, unlearn
from mu.cli.main import run as run_command
from mu.distributed.team import Team
from mu.tracking import Store
from mu.training.progress import FOLDER, progress_files
from tests.processes import PATIENCE, python

pytestmark = pytest.mark.slow
TWO = ("--device", "cpu", "--devices", "2")


def call(entry, *arguments: str) -> int:
    """Run an entry point in this process; its exit status."""
    with pytest.raises(SystemExit) as ended:
        run_command(entry.build, arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def runs(store: Store) -> list:
    return sorted(store.search(""), key=lambda run: run.info.start_time)


def numbers(store: Store, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(one.step, one.value) for one in store.client.get_metric_history(run_id, name)]


@pytest.fixture(autouse=True)
def calls(monkeypatch) -> list[str]:
    """The verbs that a team was called for."""
    told: list[str] = []
    work = Team.call

    def telling(self: Team, verb, *arguments):
        told.append(verb.__name__)
        return work(self, verb, *arguments)

    monkeypatch.setattr(Team, "call", telling)
    return told


def test_the_main_job_by_two_processes_is_one_run_each(store, calls):
    """Every number is logged once, and what is handed on is whole."""
    assert call(prune, *TWO, "--epochs", "4", "--rewind_epoch", "1") == 0
    assert calls[0] == "train_network"
    (original,) = runs(store)
    assert call(unlearn, *TWO, "--epochs", "3", "--oracle_run_id", "train") == 0
    assert calls.count("_unlearned") == 2
    assert set(calls) == {"train_network", "_unlearned", "predict"}
    _, unlearned, oracle = runs(store)
    assert {run.info.status for run in (original, unlearned, oracle)} == {"FINISHED"}
    assert [step for step, _ in numbers(store, original.info.run_id, "loss")] == list(range(7))
    assert [step for step, _ in numbers(store, unlearned.info.run_id, "loss")] == list(range(3))
    assert unlearned.data.metrics["samples_seen"] == 3 * 1164
    assert unlearned.data.metrics["peak_memory_mb"] > 0
    assert "gap" in unlearned.data.metrics
    for run in (original, unlearned, oracle):
        checkpoint = mu.load_checkpoint(run.info.run_id)
        assert checkpoint.mask.sparsity == pytest.approx(95, abs=0.1)
        for name in checkpoint.mask:
            pruned = checkpoint.model.get_parameter(name)[~checkpoint.mask[name]]
            assert not pruned.any()
    kept = store.client.list_artifacts(original.info.run_id)
    assert not any("resume" in one.path for one in kept)


def test_a_backdoor_by_two_processes(store, calls):
    line = ["--prune_epochs", "3", "--epochs", "2", "--prune_rewind_epoch", "1"]
    assert call(backdoor, *TWO, *line) == 0
    assert {"train_network", "_unlearned", "predict"} == set(calls)
    outer, poisoned = runs(store)
    assert {run.info.status for run in (outer, poisoned)} == {"FINISHED"}
    assert {"ASR", "ASR_before", "robust_acc"} <= outer.data.metrics.keys()
    assert call(evaluate, *TWO, "--run_id", outer.info.run_id) == 0


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (["--devices", "0"], "devices"),
        (["--devices", "two"], "devices"),
        (["--devices", "1000", "--device", "cpu"], "cores; give devices="),
        (["--sync_bn", "true", "--device", "cpu"], "leave sync_bn out"),
        (["--devices", "2", "--device", "cpu:0"], "give device=cpu"),
    ],
)
def test_devices_that_cannot_be_are_refused_before_a_run_is_opened(store, capsys, line, text):
    assert call(prune, *line) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert runs(store) == []


def test_torchs_own_launcher_is_told_how_to_start_it(store, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    assert call(prune, "--epochs", "1") == 2
    assert "give devices" in capsys.readouterr().err
    assert runs(store) == []


# --- processes that die -------------------------------------------------------------------


def begun(store: Store, process: subprocess.Popen[str]) -> tuple[str, list[psutil.Process]]:
    """The run that a child has opened, once epochs of it are kept, and its ranks."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[1]
        for run in runs(store):
            if progress_files(Path(run.info.artifact_uri) / FOLDER):
                return run.info.run_id, ranks_of(process)
        time.sleep(0.1)
    raise AssertionError("no epoch was kept")


def ranks_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    found = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
    assert len(found) == 2
    return found


def started(arguments: Sequence[str]):
    return python("-m", "entrypoints.prune", *TWO, *arguments)


def test_a_rank_that_is_killed_ends_the_run_failed_and_one_process_goes_on(store):
    with started(["--epochs", "60", "--rewind_epoch", "1", "--rate", "0.9"]) as process:
        run_id, ranks = begun(store, process)
        ranks[1].kill()
        error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: process 2 of 2 was ended by SIGKILL")
    assert f"resume_run_id={run_id}" in error
    assert "Traceback" not in error
    run = store.run(run_id)
    assert run.info.status == "FAILED"
    assert "SIGKILL" in run.data.tags["mu.error"]
    assert not psutil.wait_procs(ranks, timeout=PATIENCE)[1]

    assert call(prune, "--resume_run_id", run_id, "--device", "cpu") == 0
    assert store.run(run_id).info.status == "FINISHED"
    steps = [step for step, _ in numbers(store, run_id, "loss")]
    assert steps == sorted(set(steps)) == list(range(60 + 59))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_killed_and_all_processes(store, number):
    with started(["--epochs", "200"]) as process:
        run_id, ranks = begun(store, process)
        process.send_signal(number)
        error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + number
    assert f"resume_run_id={run_id}" in error
    assert "Traceback" not in error
    assert store.run(run_id).info.status == "KILLED"
    assert not psutil.wait_procs(ranks, timeout=PATIENCE)[1]
