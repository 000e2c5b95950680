"""Interrupted unlearn runs: gone on with, or begun again, they end as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions, Request, UnlearnOptions
from mu.data import load_data
from mu.data.forget_request import ForgetRequest
from mu.digests import digest_of
from mu.errors import UserError
from mu.methods import METHODS, make_method
from mu.tasks import perform
from mu.tasks import unlearn as unlearn_task
from mu.tasks.problem import TrackedModel, UnlearningProblem, UnlearnTask
from mu.tracking import Store, connect, load_checkpoint, sender, tracked
from mu.tracking import recorder as recorder_module
from mu.tracking import resuming as resuming_module
from mu.training.progress import FOLDER, Progress, file_name, progress_files, read_newest
from tests.commands import Program, call
from tests.conftest import FinishedPrune, PrunedStore, copy_store, store_uri
from tests.helpers import refused
from tests.processes import PATIENCE, ROOT, python
from tests.test_main_job import UNLEARNED, newest
from tests.tracking.handovers import hand_over
from tests.tracking.once import Once
from tests.tracking.test_resuming import (
    Moved,
    interrupt_at,
    places,
    progress_folder,
    run_of,
    wait_for,
)
from tests.tracking.whole import Whole, keep_at_once

EPOCHS = 3
FT = ("--method", "ft", "--epochs", str(EPOCHS), "--forget", "class:3", "--device", "cpu")


def whole_of(finished: FinishedPrune, folder: Path, *line: str) -> Whole:
    """What the unlearn run of a command line holds, in a copy of the store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(copy_store(finished.path, folder)))
        assert call("unlearn", *line) == 0
        store = connect()
        return Whole.of(store, newest(store, "tags.`mu.entry` = 'unlearn'").info.run_id)


@pytest.fixture(scope="module")
def whole(finished_prune: FinishedPrune, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    made = whole_of(finished_prune, tmp_path_factory.mktemp("whole"), *FT)
    assert made.files == UNLEARNED
    return made


# --- an interrupted run -------------------------------------------------------------------


def interrupted_at(owner: Any, name: str, number: int, *line: str) -> None:
    """Run unlearn in this process until that call of a function is done."""
    with pytest.MonkeyPatch.context() as patch:
        keep_at_once(patch)
        interrupt_at(patch, owner, name, number)
        assert call("unlearn", *line) == 128 + signal.SIGINT


def interrupted_after(epochs: int, *line: str) -> None:
    """Run unlearn in this process until so many epochs are kept."""
    interrupted_at(resuming_module.RunCheckpointer, "save", epochs, *line)


def resume(run_id: str, *line: str) -> int:
    return call("unlearn", "--resume_run_id", run_id, "--device", "cpu", *line)


def newest_unlearn(store: Store) -> str:
    return str(newest(store, "tags.`mu.entry` = 'unlearn'").info.run_id)


@dataclass(frozen=True)
class Interrupted:
    """The test's own store with an original and an ft run in it, of which two epochs were kept."""

    store: Store
    run_id: str
    original: str

    @property
    def folder(self) -> Path:
        return progress_folder(self.store, self.run_id)

    @property
    def job(self) -> Path:
        return self.folder / "job.json"

    def unchanged(self) -> bool:
        run = self.store.run(self.run_id)
        return (
            len(list(self.store.search(""))) == 2
            and run.info.status == "KILLED"
            and run.data.tags["mu.error"] == "stopped by SIGINT"
            and "mu.resumed" not in run.data.tags
        )


@pytest.fixture
def interrupted(pruned: PrunedStore) -> Interrupted:
    interrupted_after(2, *FT)
    return Interrupted(pruned.store, newest_unlearn(pruned.store), pruned.run_id)


def test_data_is_where_it_is_named_rather_than_where_it_was(
    pruned: PrunedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"prune_run_id": pruned.run_id, "method": "ft", "settings": {}, "data_dir": "then"}

    def data_of(_: object, given: dict[str, str]) -> None:
        raise UserError(f"data in {given['data_dir']}")

    for name, found in (("interrupted", SimpleNamespace(document=kept)), ("resumed_on", None)):
        monkeypatch.setattr(unlearn_task, name, lambda *_, found=found: found)
    monkeypatch.setattr(unlearn_task, "data_of", data_of)
    options = UnlearnOptions(resume_run_id="interrupted")
    for given, place in (({"data_dir": "now"}, "now"), ({}, "then")):
        with refused(f"data in {place}"):
            unlearn_task.interrupted_task(pruned.store, "unlearn", options, Request(original=given))


def test_what_is_kept_gives_the_same_task_again(
    pruned: PrunedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrackedModel(pruned.run_id, load_checkpoint(pruned.run_id))
    dataset, spec = load_data("digits"), original.spec()
    split = spec.forget_split(dataset, ForgetRequest.parse("class:3"))
    device = DeviceOptions(device="cpu", precision="fp32", threads=1)
    made = UnlearnTask(
        UnlearningProblem(pruned.run_id, original.checkpoint, dataset, split, "class:3", device),
        make_method("ft", {"epochs": 3, "lr": 0.03}),
        5,
        "none",
        {"duplicates": "keep"},
        ("a note from before",),
    )
    kept = json.loads(json.dumps(made.document()))
    run = SimpleNamespace(info=SimpleNamespace(run_id="id"), data=SimpleNamespace(tags={}))
    found = SimpleNamespace(run=run, document=kept, about=made.about(), progress=None)
    monkeypatch.setattr(unlearn_task, "interrupted", lambda *_: found)
    options = UnlearnOptions(resume_run_id="id")
    again = unlearn_task.interrupted_task(pruned.store, "unlearn", options, Request())
    assert (again.document(), again.resume_run_id) == (kept, "id")


# --- gone on with in this process ---------------------------------------------------------


def test_an_interrupted_run_says_how_to_go_on_and_keeps_what_it_takes(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_after(2, *FT)
    run_id = newest_unlearn(pruned.store)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"unlearn run {run_id}"
    assert any(line.endswith(f"-e unlearn -P resume_run_id={run_id}") for line in said)
    job = json.loads((progress_folder(pruned.store, run_id) / "job.json").read_text())
    assert job["prune_run_id"] == pruned.run_id
    assert (job["method"], job["settings"]["epochs"], job["forget"]) == ("ft", EPOCHS, "class:3")
    assert places(pruned.store, run_id) == {f"round-000-epoch-00000{epoch}" for epoch in (1, 2)}


def test_resumed_it_ends_as_if_nothing_had_happened(
    whole: Whole, interrupted: Interrupted, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    before = read_newest(interrupted.folder)[0]
    assert resume(interrupted.run_id) == 0
    run = whole.check(interrupted.store, interrupted.run_id)
    assert run.data.tags["mu.resumed"] == "1"
    assert run.data.metrics["RTE"] > before.seconds > 0
    assert not interrupted.folder.exists()
    assert len(list(interrupted.store.search(""))) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"unlearn run {interrupted.run_id}\n")
    assert interrupted.run_id in said.out
    assert "starts again" not in said.out


PLACES = (
    (perform, "keep_document"),
    (Checkpoint, "save"),  # the method is done
    (perform, "measure"),
    (perform, "_oracle"),
    (perform, "_save"),
    (recorder_module.Recorder, "send"),
    (recorder_module.Recorder, "finish"),
)


@pytest.mark.slow
def test_interrupted_anywhere_again_and_again(
    whole: Whole, pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_at(*PLACES[0], 1, *FT)
    run_id = newest_unlearn(pruned.store)
    begun = f"run {run_id}: no epoch was finished, so it starts again"
    for number, place in enumerate(PLACES[1:]):
        capsys.readouterr()
        interrupted_at(*place, 1, "--resume_run_id", run_id, "--device", "cpu")
        said = capsys.readouterr()
        assert (begun in said.out) == (number == 0)
        if "what the run had written is kept in " in said.err:
            shutil.rmtree(said.err.partition("is kept in ")[2].splitlines()[0])
        assert pruned.store.run(run_id).info.status == "KILLED"
        (*_, last) = progress_files(progress_folder(pruned.store, run_id))
        assert last.name.startswith(f"round-000-epoch-00000{EPOCHS}")
    assert resume(run_id) == 0
    run = whole.check(pruned.store, run_id)
    assert run.data.tags["mu.resumed"] == str(len(PLACES))


@pytest.mark.slow
def test_whatever_is_said_again_and_agrees_is_accepted(
    whole: Whole, interrupted: Interrupted
) -> None:
    said = "--method FT --forget class:3 --batch-size 16 --epochs 3 --seed 0 --augment auto"
    original = "--prune_epochs 2 --dataset digits --arch auto --prune_rate 0.95 --precision auto"
    again = [*said.split(), *original.split(), "--prune_run_id", interrupted.original]
    assert resume(interrupted.run_id, *again) == 0
    whole.check(interrupted.store, interrupted.run_id)


@pytest.mark.slow
def test_a_list_of_samples_may_be_gone(
    finished_prune: FinishedPrune, pruned: PrunedStore, tmp_path: Path
) -> None:
    trained = load_checkpoint(pruned.run_id).spec.split(load_data("digits")).train
    path = tmp_path / "samples.txt"
    path.write_text("\n".join(str(number) for number in trained[:20]))
    line = ("--method", "l1_sparse", "--l1_strength", "2", "--epochs", "2")
    line += ("--device", "cpu", "--forget")
    expected = whole_of(finished_prune, tmp_path / "whole", *line, f"indices:{path}")
    assert "alpha" in expected.histories
    interrupted_after(1, *line, f"indices:{path}")
    path.unlink()
    run_id = newest_unlearn(pruned.store)
    assert resume(run_id, "--forget", f"indices:{path}") == 0
    expected.check(pruned.store, run_id)


# --- what works in one go -----------------------------------------------------------------


@pytest.mark.slow
def test_what_works_in_one_go_starts_again_and_says_so(
    finished_prune: FinishedPrune,
    pruned: PrunedStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(METHODS.classes, "once", Once)
    line = ("--method", "once", "--share", "0.7", "--forget", "class:3", "--device", "cpu")
    expected = whole_of(finished_prune, tmp_path / "whole", *line)
    interrupted_at(perform, "predict_split", 1, *line)
    run_id = newest_unlearn(pruned.store)
    assert "last finished epoch" not in capsys.readouterr().err
    assert resume(run_id, "--share", "0.6") == 2
    assert "share=0.6 contradicts" in capsys.readouterr().err
    assert resume(run_id) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"run {run_id}: once works in one go, so it starts again\n")
    expected.check(pruned.store, run_id)


# --- the oracle ---------------------------------------------------------------------------


RETRAIN = ("--method", "retrain", *FT[4:])


@pytest.fixture(scope="module")
def whole_oracle(finished_prune: FinishedPrune, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole_of(finished_prune, tmp_path_factory.mktemp("oracle"), *RETRAIN)


@pytest.mark.slow
@pytest.mark.parametrize("by_itself", [False, True])
def test_an_interrupted_oracle(
    whole_oracle: Whole, pruned: PrunedStore, by_itself: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The main job goes on with it, or finds it when it was finished by itself."""
    interrupted_after(EPOCHS + 1, *FT, "--oracle_run_id", "train")
    store = pruned.store
    oracle, main = (run.info.run_id for run in store.search("tags.`mu.entry` = 'unlearn'"))
    said = capsys.readouterr().err
    for run_id in (main, oracle):
        assert f"unlearn run {run_id}" in said
        assert f"-e unlearn -P resume_run_id={run_id}\n" in said
    if by_itself:
        assert resume(oracle) == 0
    assert resume(main) == 0
    assert len(list(store.search(""))) == 3
    found = store.run(main)
    assert found.info.status == "FINISHED"
    assert found.data.tags["mu.oracle"] == oracle
    assert found.data.metrics["gap"] >= 0
    trained = store.run(oracle)
    assert trained.data.tags["mu.resumed"] == "1"
    whole_oracle.check(store, oracle)


@pytest.mark.slow
def test_an_oracle_of_another_job_is_left_alone(pruned: PrunedStore) -> None:
    """What was interrupted with another seed is another one; damaged ones are passed over."""
    store = pruned.store
    interrupted_after(1, *RETRAIN, "--seed", "5")
    left = newest_unlearn(store)
    interrupted_after(1, *RETRAIN)
    damaged = newest_unlearn(store)
    (progress_folder(store, damaged) / "job.json").write_text("{}")
    interrupted_after(2, *FT, "--oracle_run_id", "train")
    main = newest_unlearn(store)
    assert resume(main) == 0
    assert len(list(store.search(""))) == 5
    assert store.run(main).data.tags["mu.oracle"] not in (left, damaged)
    assert {store.run(one).info.status for one in (left, damaged)} == {"KILLED"}


# --- what cannot be resumed ---------------------------------------------------------------


def test_what_contradicts_the_run(program: Program, interrupted: Interrupted) -> None:
    for line, has, typed in (
        ("--lr 0.2", "lr=None", "lr"),
        ("--epochs 4", "epochs=3", "epochs"),
        ("--batch_size 32", "batch_size=16", "batch_size"),
        ("--method retrain", "method=ft", "method"),
        ("--forget class:4", "forget=class:3", "forget"),
        ("--forget indices:/no/such/file", "forget=class:3", "forget"),
        ("--seed 1", "seed=0", "seed"),
        ("--oracle_run_id train", "oracle_run_id=find", "oracle_run_id"),
        (f"--prune_run_id {'0' * 32}", f"prune_run_id={interrupted.original}", "prune_run_id"),
        ("--precision bf16", "precision=auto", "precision"),
        ("--threads 2", "threads=None", "threads"),
        ("--prune_rate 0.5", "rate=0.95", "prune_rate"),
        ("--dataset cifar10", "dataset=digits", "dataset"),
        ("--arch resnet20", "arch=resnet_mini", "arch"),
    ):
        said = program.refuses(
            f"unlearn --resume_run_id {interrupted.run_id} {line}", has, f"leave {typed} out"
        )
        assert said.startswith(line.removeprefix("--").replace(" ", "="))
    for line, texts in (
        ("--alpha 0.2", ("'alpha'", "method=l1_sparse", "not of unlearn with method=ft")),
        ("--mask_from retain --method retrain", ("'mask_from'", "not of unlearn with method=ft")),
        ("--method ftt", ("method 'ftt'", "did you mean ft")),
        ("--lrr 0.2", ("'lrr'", "did you mean lr")),
        ("--device cuda:99", ("device='cuda:99'",)),
    ):
        program.refuses(f"unlearn --resume_run_id {interrupted.run_id} {line}", *texts)
    assert interrupted.unchanged()


def test_files_that_are_damaged(program: Program, interrupted: Interrupted) -> None:
    whole, again = interrupted.job.read_text(), f"unlearn --resume_run_id {interrupted.run_id}"
    job = json.loads(whole)
    newer = {**job, "format": "mu.job/9"}
    other = {**job, "seed": 4}
    for text in (
        whole[:50],
        "",
        "[]",
        "{}",
        "\x80",
        json.dumps(other),
        json.dumps({**newer, "digest": digest_of({n: newer[n] for n in newer if n != "digest"})}),
    ):
        interrupted.job.write_text(text)
        program.refuses(again, interrupted.run_id, "resume/job.json is damaged", "start it anew")
    interrupted.job.write_text(whole)
    names = []
    for one in progress_files(interrupted.folder):
        one.write_bytes(one.read_bytes()[:-1])
        names.append(one.name)
    program.refuses(again, interrupted.run_id, *names, "damaged", "anew")
    assert interrupted.unchanged()


@pytest.mark.slow
def test_progress_of_another_job(program: Program, interrupted: Interrupted) -> None:
    content = progress_files(interrupted.folder)[-1].read_bytes()
    progress, about = Progress.from_bytes(content)
    foreign = progress.to_bytes({**about, "seed": 4})
    (interrupted.folder / file_name(progress, foreign)).write_bytes(foreign)
    for one in progress_files(interrupted.folder):
        if one.name != file_name(progress, foreign):
            one.unlink()
    line = f"unlearn --resume_run_id {interrupted.run_id}"
    program.refuses(line, interrupted.run_id, "of another task", "start it anew")
    assert interrupted.unchanged()


def test_its_original_was_not_there_yet(program: Program, pruned: PrunedStore) -> None:
    interrupted_at(
        unlearn_task, "train", 1, *FT, "--prune_epochs", "1", "--prune_train_size", "100"
    )
    run_id = newest_unlearn(pruned.store)
    line = f"unlearn --resume_run_id {run_id}"
    program.refuses(line, run_id, "before its original was there", "-e prune -P resume_run_id=")


def test_its_original_is_gone(program: Program, interrupted: Interrupted) -> None:
    interrupted.store.client.delete_run(interrupted.original)
    line = f"unlearn --resume_run_id {interrupted.run_id}"
    program.refuses(line, interrupted.original, "was deleted", "restore")
    assert interrupted.store.run(interrupted.run_id).info.status == "KILLED"


def test_runs_that_were_not_interrupted(program: Program, pruned: PrunedStore) -> None:
    store = pruned.store
    finished = hand_over(store, entry="unlearn")
    killed = hand_over(store, status="KILLED")
    foreign = hand_over(store, entry="compare", status="KILLED")
    deleted = hand_over(store, entry="unlearn", status="FAILED")
    store.client.delete_run(deleted)
    launched = store.client.create_run("0", tags={"mlflow.project.entryPoint": "unlearn"})
    again = "unlearn --resume_run_id"
    program.refuses(f"{again} {finished}", finished, "is FINISHED", "nothing left to do")
    program.refuses(f"{again} {pruned.run_id}", pruned.run_id, "is FINISHED")
    program.refuses(f"{again} {killed}", killed, "a run of prune", "-e prune -P resume_run_id=")
    program.refuses(
        f"{again} {foreign}", foreign, "entry compare", "prune, unlearn, backdoor, lira"
    )
    program.refuses(f"{again} {deleted}", deleted, "restore")
    program.refuses(f"{again} 0123", "begins with '0123'")
    program.refuses(f"{again} {launched.info.run_id}", "entry unknown", "keeps no progress")
    store.client.set_tag(launched.info.run_id, "mu.resumed_as", killed)
    program.refuses(f"{again} {launched.info.run_id}", "launcher's own and empty", killed)
    with tracked(store, "unlearn", "x") as recorder:
        texts = (recorder.run_id, "RUNNING", str(os.getpid()), "wait for it")
        program.refuses(f"{again} {recorder.run_id}", *texts)


def test_a_job_that_cannot_be_kept_costs_a_warning(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(sender, "write_whole", fail)
    assert call("unlearn", *FT, "--epochs", "1") == 0
    warning = "warning: resume/job.json is not kept: no space left on device"
    assert warning in capsys.readouterr().err.splitlines()


# --- by MLflow's launcher -----------------------------------------------------------------


@pytest.mark.slow
def test_the_launchers_own_run_points_to_the_resumed_one(
    whole: Whole, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = interrupted.store
    opened = store.client.create_run("0", tags={"mlflow.project.entryPoint": "unlearn"})
    monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
    # The launcher gives whatever MLproject declares.
    declared = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["unlearn"]
    assert {"prune_run_id", "method", "forget", "seed"} <= set(declared["parameters"])
    given = [
        f"--{name}={one['default']}"
        for name, one in declared["parameters"].items()
        if name != "device"
    ]
    assert resume(interrupted.run_id, *given) == 0
    assert "MLFLOW_RUN_ID" not in os.environ
    whole.check(store, interrupted.run_id)
    tags = store.run(opened.info.run_id).data.tags
    assert tags["mu.resumed_as"] == interrupted.run_id
    assert tags["mlflow.runName"] == f"resumes {interrupted.run_id[:8]}"
    assert "mu.entry" not in tags


def test_the_launchers_own_run_fails_where_nothing_can_be_resumed(
    program: Program, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, again = interrupted.store, f"unlearn --resume_run_id {interrupted.run_id}"
    for line, text in ((f"{again} --lr 0.5", "lr=0.5"), (f"{again}0", "no run")):
        opened = store.client.create_run("0", tags={"mlflow.project.entryPoint": "unlearn"})
        monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
        said = program.refuses(line, text)
        run = store.run(opened.info.run_id)
        assert (run.info.status, run.data.tags["mu.error"]) == ("FAILED", said)
    assert store.run(interrupted.run_id).info.status == "KILLED"


# --- processes that are ended -------------------------------------------------------------

# Long enough to be ended in the middle: each epoch about a sixth of a second.
LONG = (*FT[:2], "--epochs", "10", *FT[4:])


@pytest.mark.slow
def test_processes_that_are_ended(
    finished_prune: FinishedPrune, pruned: PrunedStore, tmp_path: Path
) -> None:
    """SIGKILL at random moments, once before anything new is finished; then SIGTERM."""
    expected = whole_of(finished_prune, tmp_path / "whole", *LONG)
    draws, store = random.Random(12), pruned.store
    run_id, line = "", LONG
    for number, new_epochs in ((signal.SIGKILL, 1), (signal.SIGKILL, 0), (signal.SIGTERM, 1)):
        with python("-m", "entrypoints.unlearn", *line) as process:
            assert run_of(store, process) == run_id or not run_id
            run_id = run_of(store, process)
            if new_epochs:
                wait_for(Moved(store, run_id), process)
            time.sleep(draws.uniform(0, 0.1))
            assert process.poll() is None
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
        if number == signal.SIGKILL:
            assert store.run(run_id).info.status == "RUNNING"  # nobody could tell
        assert 1 <= len(places(store, run_id)) <= 2
        line = ("--resume_run_id", run_id, "--device", "cpu")
    assert process.returncode == 128 + signal.SIGTERM
    said = errors.splitlines()
    assert f"unlearn run {run_id}" in said
    assert any(line.endswith(f"-e unlearn -P resume_run_id={run_id}") for line in said)
    assert said[-1] == "stopped by SIGTERM"
    assert store.run(run_id).data.tags["mu.error"] == "stopped by SIGTERM"
    assert resume(run_id) == 0
    run = expected.check(store, run_id)
    assert run.data.tags["mu.resumed"] == "3"
    assert FOLDER not in {one.path for one in store.client.list_artifacts(run_id)}
    assert len(list(store.search(""))) == 2
