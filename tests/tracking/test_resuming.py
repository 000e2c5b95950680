"""Interrupted runs: resumed, they end as if they had not been; what cannot be resumed is said."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run as MlflowRun
from PIL import Image

import mu
import mu.tracking.resuming as resuming
from mu.checkpoints import Checkpoint
from mu.runs import Run
from mu.tasks import prune as prune_task
from mu.tasks.problem import TrainTask
from mu.tracking import Store, connect, find_original, tracked
from mu.tracking import recorder as recorder_module
from mu.tracking.run_files import RunFiles
from mu.training.progress import FOLDER, progress_files
from tests.commands import Program, call
from tests.conftest import copy_store, store_uri
from tests.helpers import make_dataset, make_recipe, mostly_slow
from tests.processes import PATIENCE, ROOT, python
from tests.test_launcher import fork_what_is_launched
from tests.test_main_job import files
from tests.tracking.handovers import hand_over
from tests.tracking.whole import Whole, keep_at_once
from tests.training.networks import DROPPING

QUICK = (
    f"--arch {DROPPING} --pruner imp --rate 0.3 --rounds 2 --epochs 3 --rewind_epoch 1 "
    "--train_size 100 --batch_size 40 --device cpu"
).split()
EPOCHS = 3 + 2 + 2


class Stop(KeyboardInterrupt):
    """Stands for SIGINT at a chosen place."""


def interrupt_at(patch: pytest.MonkeyPatch, owner: Any, name: str, call_number: int = 1) -> None:
    """Let the given call of a function, once it has done its work, be the last that is done."""
    work: Callable[..., Any] = getattr(owner, name)
    calls = []

    def stopping(*arguments: Any, **named: Any) -> Any:
        found = work(*arguments, **named)
        calls.append(name)
        if len(calls) == call_number:
            raise Stop
        return found

    patch.setattr(owner, name, stopping)


def interrupted_after(epochs: int, *line: str) -> None:
    """Run prune in this process until so many epochs are kept."""
    with pytest.MonkeyPatch.context() as patch:
        keep_at_once(patch)
        interrupt_at(patch, resuming.RunCheckpointer, "save", epochs)
        assert call("prune", *line) == 128 + signal.SIGINT


def newest(store: Store) -> MlflowRun:
    return next(store.search("tags.`mu.entry` = 'prune'"))


def progress_folder(store: Store, run_id: str) -> Path:
    return Path(store.run(run_id).info.artifact_uri) / FOLDER


# --- the same run without an interruption -------------------------------------------------


@dataclass(frozen=True)
class WholePrune(Whole):
    """Of prune; its description has no costs in it, either."""

    def check(self, store: Store, run_id: str) -> MlflowRun:
        run = super().check(store, run_id)
        text = run.data.tags["mlflow.note.content"].replace(run_id, self.run.info.run_id)
        assert text == self.run.data.tags["mlflow.note.content"]
        return run


def made_whole(empty_store: Path, folder: Path, *line: str) -> WholePrune:
    """What the run of a command line holds, in a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(copy_store(empty_store, folder)))
        assert call("prune", *line) == 0
        store = connect()
        return WholePrune.of(store, newest(store).info.run_id)


@pytest.fixture(scope="module")
def whole(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> WholePrune:
    return made_whole(empty_store, tmp_path_factory.mktemp("whole"), *QUICK)


# --- an interrupted run -------------------------------------------------------------------


@dataclass(frozen=True)
class Interrupted:
    """The test's own store with an interrupted run in it, of which two epochs were kept."""

    store: Store
    run_id: str

    @property
    def folder(self) -> Path:
        return progress_folder(self.store, self.run_id)

    def resume(self, *line: str) -> int:
        return call("prune", "--resume_run_id", self.run_id, "--device", "cpu", *line)

    def unchanged(self) -> bool:
        """Whether it is as it was, and the only run."""
        (run,) = self.store.search("")
        return (
            run.info.run_id == self.run_id
            and run.info.status == "KILLED"
            and run.data.tags["mu.error"] == "stopped by SIGINT"
            and "mu.resumed" not in run.data.tags
            and len(progress_files(self.folder)) == 2
        )


@pytest.fixture
def interrupted(store: Store) -> Interrupted:
    """Made for each test: MLflow's client remembers where the artifacts of a run ID lie."""
    interrupted_after(2, *QUICK)
    return Interrupted(store, newest(store).info.run_id)


# --- resumed in this process --------------------------------------------------------------


def test_an_interrupted_run_keeps_its_progress(interrupted: Interrupted) -> None:
    assert interrupted.unchanged()
    names = [one.name for one in interrupted.folder.iterdir()]
    progress = [f"round-000-epoch-00000{epoch}" for epoch in (1, 2)]
    assert sorted(name[:22] for name in names) == ["job.json", *progress]
    assert set(files(interrupted.store, interrupted.run_id)) == {f"resume/{n}" for n in names}


def test_resumed_it_ends_as_if_nothing_had_happened(
    whole: WholePrune, interrupted: Interrupted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted.resume() == 0
    run = whole.check(interrupted.store, interrupted.run_id)
    assert run.data.tags["mu.resumed"] == "1"
    assert not interrupted.folder.exists()
    assert interrupted.run_id in capsys.readouterr().out
    assert len(list(interrupted.store.search(""))) == 1
    found = find_original(interrupted.store, {"rate": 0.3})
    assert found is not None
    assert found.info.run_id == interrupted.run_id
    mu.load_checkpoint(interrupted.run_id)


def test_whatever_is_said_again_and_agrees_is_accepted(
    whole: WholePrune, interrupted: Interrupted
) -> None:
    said = "--rate 3e-1 --stem auto --rounds 2 --precision auto --dataset digits --rewind_epoch 1"
    again = [*said.split(), "--arch", DROPPING, "--train_size", "none", "--profile", "imp"]
    interrupted.store.client.set_tag(interrupted.run_id, "mu.resumed", "2")  # not the first time
    assert interrupted.resume(*again) == 0
    run = whole.check(interrupted.store, interrupted.run_id)
    assert run.data.tags["mu.resumed"] == "3"


PLACES = {
    "while the test set is passed after a round": (prune_task, "predict", 2),
    "when training is over": (prune_task, "train_original", 1),
    "in the last evaluation": (prune_task, "evaluate_original", 1),
    "when the checkpoint is written": (Checkpoint, "save", 1),
    "when all is sent": (recorder_module.Recorder, "send", 1),
    "when all is uploaded": (recorder_module.Recorder, "finish", 1),
}


@pytest.mark.parametrize("place", mostly_slow(PLACES, "when training is over", "when all is sent"))
def test_interrupted_anywhere(
    whole: WholePrune, interrupted: Interrupted, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owner, name, number = PLACES[place]
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, owner, name, number)
        assert interrupted.resume() == 128 + signal.SIGINT
    said = capsys.readouterr().err
    if "what the run had written is kept in " in said:
        shutil.rmtree(said.partition("is kept in ")[2].splitlines()[0])
    assert interrupted.store.run(interrupted.run_id).info.status == "KILLED"
    assert interrupted.resume() == 0
    whole.check(interrupted.store, interrupted.run_id)


def test_the_newest_progress_is_damaged(whole: WholePrune, interrupted: Interrupted) -> None:
    """An epoch is trained again; its numbers, which the run has already, are not logged again."""
    last = progress_files(interrupted.folder)[-1]
    last.write_bytes(last.read_bytes()[:100])
    assert interrupted.resume() == 0
    whole.check(interrupted.store, interrupted.run_id)


def test_progress_that_a_process_left_half_written(
    whole: WholePrune, interrupted: Interrupted
) -> None:
    name = f".{progress_files(interrupted.folder)[-1].name}.4711"
    (interrupted.folder / name.replace("000002", "000003")).write_bytes(b"half")
    assert interrupted.resume() == 0
    whole.check(interrupted.store, interrupted.run_id)


WAYS = (
    "--profile synflow --iterations 3",
    "--profile sam --rewind pt",
    "--optimizer adam --lr 0.001 --rewind lt --precision bf16",
    "--rate 0",
)


@pytest.mark.parametrize("line", mostly_slow(WAYS, WAYS[1]))
def test_other_ways_of_training(empty_store: Path, store: Store, tmp_path: Path, line: str) -> None:
    plain = f"--arch {DROPPING} --epochs 2 --train_size 100 --device cpu".split()
    expected = made_whole(empty_store, tmp_path / "whole", *plain, *line.split())
    interrupted_after(1, *plain, *line.split())
    run_id = newest(store).info.run_id
    assert call("prune", "--resume_run_id", run_id, "--device", "cpu") == 0
    expected.check(store, run_id)


@pytest.mark.slow
def test_a_run_under_the_mask_of_another(store: Store, tmp_path: Path) -> None:
    """It is not pruned again, and remembers whose mask it has."""
    assert call("prune", *QUICK) == 0
    upstream = newest(store)
    line = ("--mask_run_id", upstream.info.run_id, "--device", "cpu", "--profile", "ls")
    more = ("--epochs", "3", "--batch_size", "40")
    assert call("prune", *line, *more) == 0
    expected = WholePrune.of(store, newest(store).info.run_id)
    assert [step for step, _ in expected.histories["loss"]] == [0, 1, 2]
    for _ in range(2):
        interrupted_after(1, *line, *more)
        run_id = newest(store).info.run_id
        interrupted_after(1, "--resume_run_id", run_id, "--device", "cpu")
        assert call("prune", "--resume_run_id", run_id, "--device", "cpu", *more) == 0
        run = expected.check(store, run_id)
        assert run.data.tags["mu.mask"] == upstream.data.tags["mu.mask"]
        assert run.data.tags["mu.upstream"] == upstream.info.run_id
        assert mu.load_checkpoint(run_id).spec.recipe.given_mask


def pictures(root: Path, shade: int) -> Path:
    """A folder of two classes of grey images."""
    for number, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for index in range(8):
            grey = np.full((8, 8), 20 * index + number + shade, np.uint8)
            Image.fromarray(grey).save(root / name / f"{index}.png")
    return root


def test_data_that_moved_is_named_and_data_that_changed_is_refused(
    program: Program, store: Store, tmp_path: Path
) -> None:
    first = pictures(tmp_path / "first", shade=0)
    line = f"--dataset imagefolder --arch {DROPPING} --epochs 2 --rate 0 --device cpu --data_dir"
    interrupted_after(1, *line.split(), str(first))
    run_id = newest(store).info.run_id
    first.rename(tmp_path / "moved")
    other = pictures(tmp_path / "other", shade=5)
    resume = ["prune", "--resume_run_id", run_id, "--device", "cpu"]
    program.refuses(resume, repr(str(first)), "does not exist", "data_dir")
    program.refuses([*resume, "--data_dir", str(other)], repr(str(other)), "is not what")
    assert newest(store).info.status == "KILLED"
    assert program([*resume, "--data_dir", str(tmp_path / "moved")])[0] == 0


def test_the_time_that_earlier_processes_took_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    run, dataset = Run(device="cpu"), make_dataset()

    def trained(*_: Any, **__: Any) -> None:
        run.seconds_before = 1000.0

    monkeypatch.setattr(prune_task, "train_original", trained)
    task = TrainTask(dataset, make_recipe(dataset))
    assert prune_task._trained(task, run, None)[1] >= 1000  # type: ignore[arg-type]


# --- stores that fail ---------------------------------------------------------------------


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was warned of since it was read last."""
    said = capsys.readouterr().err.splitlines()
    return [line.removeprefix("warning: ") for line in said if line.startswith("warning: ")]


def test_progress_that_cannot_be_kept_costs_a_warning(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(RunFiles, "put", fail)
    assert call("prune", *QUICK) == 0
    assert newest(store).info.status == "FINISHED"
    assert warnings(capsys) == ["progress waits to be kept: no space left on device"]


def test_progress_that_cannot_be_removed_costs_a_warning(
    interrupted: Interrupted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError("the store is read-only")

    monkeypatch.setattr(RunFiles, "remove_progress", fail)
    capsys.readouterr()
    assert interrupted.resume() == 0
    assert interrupted.store.run(interrupted.run_id).info.status == "FINISHED"
    assert warnings(capsys) == ["the run's resume/ could not be removed: the store is read-only"]


# --- what cannot be resumed ---------------------------------------------------------------


def test_what_contradicts_the_run(program: Program, interrupted: Interrupted) -> None:
    for option, value, has in (
        ("rate", "0.5", "rate=0.3"),
        ("rounds", "3", "rounds=2"),
        ("pruner", "omp", "pruner=imp"),
        ("profile", "sam", "profile=imp"),
        ("epochs", "4", "epochs=3"),
        ("rewind_epoch", "0", "rewind_epoch=1"),
        ("rewind", "lt", "rewind=rewind_lt"),
        ("sam_rho", "0.1", "sam_rho=0.0"),
        ("sam_adaptive", "true", "sam_adaptive=False"),
        ("optimizer", "adam", "optimizer=sgd"),
        ("arch", "resnet20", f"arch={DROPPING}"),
        ("stem", "imagenet", "stem=cifar"),
        ("dataset", "cifar10", "dataset=digits"),
        ("train_size", "99", "train_size=100"),
        ("split_seed", "1", "split_seed=0"),
        ("seed", "1", "seed=0"),
        ("precision", "bf16", "precision=auto"),
        ("precision", "fp32", "precision=auto"),
        ("threads", "2", "threads=None"),
    ):
        line = f"prune --resume_run_id {interrupted.run_id} --{option} {value}"
        said = program.refuses(line, interrupted.run_id, has, f"leave {option} out")
        assert said.lower().startswith(f"{option}={value}")
    assert interrupted.unchanged()


def test_progress_of_another_format(program: Program, interrupted: Interrupted) -> None:
    """From a later version, say: whole, but not to be read."""
    for one in progress_files(interrupted.folder):
        content = one.read_bytes().replace(b"mu.resume/1", b"mu.resume/9")
        digest = hashlib.sha256(content).hexdigest()[:16]
        (interrupted.folder / f"{one.name[:23]}{digest}.safetensors").write_bytes(content)
        one.unlink()
    line = f"prune --resume_run_id {interrupted.run_id}"
    program.refuses(line, interrupted.run_id, "no progress of a training of mu")
    assert interrupted.unchanged()


def test_no_epoch_was_finished(program: Program, store: Store) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, prune_task, "run_checkpointer")
        assert call("prune", *QUICK) == 128 + signal.SIGINT
    run_id = newest(store).info.run_id
    assert newest(store).info.status == "KILLED"
    assert program(f"prune --resume_run_id {run_id}")[0] == 0  # from the beginning
    assert newest(store).info.run_id == run_id
    assert newest(store).info.status == "FINISHED"


def test_runs_that_were_not_interrupted(program: Program, store: Store) -> None:
    finished = hand_over(store)
    unlearnt = hand_over(store, entry="unlearn", status="FAILED")
    foreign = hand_over(store, entry="compare", status="FAILED")
    deleted = hand_over(store, status="FAILED")
    store.client.delete_run(deleted)
    launched = store.client.create_run("0", tags={"mlflow.project.entryPoint": "prune"})
    resume = "prune --resume_run_id"
    program.refuses(f"{resume} {finished}", finished, "is FINISHED", "nothing left to do")
    program.refuses(f"{resume} {unlearnt}", unlearnt, "-e unlearn -P resume_run_id=")
    program.refuses(f"{resume} {foreign}", foreign, "entry compare", "keeps no progress")
    program.refuses(f"{resume} {deleted}", deleted, "restore")
    program.refuses(f"{resume} 0123", "begins with '0123'")
    program.refuses(f"{resume} {launched.info.run_id}", "entry unknown", "keeps no progress")
    line = f"{resume} {finished} --mask_run_id {finished}"
    program.refuses(line, "resume_run_id", "leave mask_run_id out")


def test_runs_that_may_still_be_running(program: Program, interrupted: Interrupted) -> None:
    store, run_id = interrupted.store, interrupted.run_id
    line = f"prune --resume_run_id {run_id} --device cpu"
    with tracked(store, "prune", "x") as recorder:
        alive = recorder.run_id
        texts = (alive, "RUNNING", str(os.getpid()), socket.gethostname(), "wait for it")
        program.refuses(f"prune --resume_run_id {alive}", *texts)
    store.client.update_run(run_id, status="RUNNING")
    store.client.set_tag(run_id, "mu.host", "another-machine")
    program.refuses(line, run_id, "RUNNING", "another-machine", "heard of", "300 s of silence")
    store.client.delete_tag(run_id, "mu.heartbeat")  # of an earlier version
    program.refuses(line, run_id, "another-machine", "mu doctor --host another-machine")
    store.client.delete_tag(run_id, "mu.host")
    program.refuses(line, run_id, "RUNNING", "end it first")
    # The process is gone: of that number there is one that began at another time.
    store.client.set_tag(run_id, "mu.host", socket.gethostname())
    store.client.set_tag(run_id, "mu.process_start", "1.0")
    assert program(line)[0] == 0
    assert store.run(run_id).info.status == "FINISHED"


# --- by MLflow's launcher -----------------------------------------------------------------


@pytest.mark.slow
def test_a_resume_by_the_launcher(
    whole: WholePrune,
    interrupted: Interrupted,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork_what_is_launched(monkeypatch)
    store, run_id = interrupted.store, interrupted.run_id
    given = {"resume_run_id": run_id, "device": "cpu"}
    mlflow.run(str(ROOT), "prune", parameters=given, env_manager="local")
    assert run_id in capfd.readouterr().out
    whole.check(store, run_id)
    (launched,) = (one for one in store.search("") if one.info.run_id != run_id)
    assert launched.data.tags["mu.resumed_as"] == run_id
    assert launched.info.status == "FINISHED"  # and newer than the other
    found = find_original(store, {})
    assert found is not None
    assert found.info.run_id == run_id


# --- processes that are ended -------------------------------------------------------------

# Long enough to be ended in the middle: 22 epochs, each about a tenth of a second.
LONG = [
    "--pruner", "imp", "--rate", "0.3", "--rounds", "2", "--epochs", "8", "--rewind_epoch", "1",
    "--train_size", "250", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def long_whole(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> WholePrune:
    return made_whole(empty_store, tmp_path_factory.mktemp("long-whole"), *LONG)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """What the condition gives, once that is something, while the process lives."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if process.poll() is not None:
            raise AssertionError(f"the process ended first:\n{process.communicate()[1]}")
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def run_of(store: Store, process: subprocess.Popen[str]) -> str:
    """The run that a process works on, once it has opened it."""

    def found() -> str | None:
        for run in store.search("attributes.status = 'RUNNING'"):
            if run.data.tags.get("mu.pid") == str(process.pid):
                return str(run.info.run_id)
        return None

    run_id: str = wait_for(found, process)
    return run_id


def places(store: Store, run_id: str) -> set[str]:
    """Round and epoch of the progress that is there."""
    folder = progress_folder(store, run_id)
    return {one.name[:22] for one in progress_files(folder)}


class Moved:
    """Whether there is progress that was not there at first."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._look = lambda: places(store, run_id)
        self._before = self._look()

    def __call__(self) -> bool:
        return bool(self._look() - self._before)


@pytest.mark.slow
def test_killed_again_and_again(store: Store, long_whole: WholePrune) -> None:
    """SIGKILL at random moments: in an epoch, in a write, before anything new is finished."""
    draws = random.Random(11)
    run_id, line = "", LONG
    for new_epochs in (1, 0):
        with python("-m", "entrypoints.prune", *line) as process:
            assert run_of(store, process) == run_id or not run_id
            run_id = run_of(store, process)
            if new_epochs:
                wait_for(Moved(store, run_id), process)
            time.sleep(draws.uniform(0, 0.1))
            assert process.poll() is None
            process.kill()
            process.wait(PATIENCE)
        assert store.run(run_id).info.status == "RUNNING"  # nobody could tell
        assert 1 <= len(places(store, run_id)) <= 2
        line = ["--resume_run_id", run_id, "--device", "cpu"]
    with python("-m", "entrypoints.prune", *line) as process:
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert run_id in out
    run = long_whole.check(store, run_id)
    assert run.data.tags["mu.resumed"] == "2"
    assert not progress_folder(store, run_id).exists()
    assert len(list(store.search(""))) == 1


@pytest.mark.slow
def test_asked_to_end(store: Store, long_whole: WholePrune) -> None:
    number = signal.SIGINT
    with python("-m", "entrypoints.prune", *LONG) as process:
        run_id = run_of(store, process)
        wait_for(Moved(store, run_id), process)
        time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1] == f"stopped by {number.name}"
    run = store.run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["mu.error"] == f"stopped by {number.name}"
    kept = len(places(store, run_id))
    assert kept >= 1
    assert set(files(store, run_id)) >= {
        f"resume/{one.name}" for one in progress_files(progress_folder(store, run_id))
    }
    assert call("prune", "--resume_run_id", run_id, "--device", "cpu") == 0
    long_whole.check(store, run_id)
