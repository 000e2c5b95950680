"""The work never waits for the store: not to keep progress, not to log, and not to be stopped."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mu.runs
from mu.masks import Mask
from mu.runs import Run
from mu.tracking import Stopped, Store, run_checkpointer, tracked
from mu.tracking import recorder as recorder_module
from mu.tracking import sender as sender_module
from mu.tracking import signals as signals_module
from mu.tracking.kept import KEPT_FILE, deliver
from mu.tracking.run_files import RunFiles
from mu.training import Training
from mu.training.progress import FOLDER, Progress
from mu.training.resumable import train_resumably
from tests.commands import call
from tests.helpers import make_dataset, make_recipe, refused
from tests.processes import PATIENCE
from tests.tracking.test_recorder import ENDS, failing, raised, the_run


def progress_of(epoch: int) -> Progress:
    mask = Mask({"w": torch.ones(2, dtype=torch.bool)})
    return Progress(0, epoch, {"w": torch.full((2,), float(epoch))}, {}, {}, mask)


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Stuck:
    """A store whose calls do not come back before they are let go, and then may be lost."""

    def __init__(self) -> None:
        self.free, self.lost = threading.Event(), False
        self.called: list[str] = []

    def before(self, name: str, call: Any) -> Any:
        def stuck(*arguments: Any, **named: Any) -> Any:
            self.called.append(str(arguments[1]) if name.startswith("put") else name)
            assert self.free.wait(PATIENCE)
            if self.lost:
                raise OSError("connection lost")
            return call(*arguments, **named)

        return stuck


@contextmanager
def stuck(patch: pytest.MonkeyPatch, store: Store) -> Iterator[Stuck]:
    """Everything that writes is stuck in the block."""
    found = Stuck()
    client = "log_batch", "set_tag", "set_terminated", "log_artifact", "log_artifacts"
    with patch.context() as here:
        for name in client:
            here.setattr(store.client, name, found.before(name, getattr(store.client, name)))
        for name in ("put", "put_progress"):
            here.setattr(RunFiles, name, found.before(name, getattr(RunFiles, name)))
        try:
            yield found
        except BaseException:
            found.lost = True
            raise
        finally:
            found.free.set()


# --- measured times -----------------------------------------------------------------------


class Clock:
    """The clock of :mod:`mu.runs`, which tests set forward."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead, real = 0.0, time.perf_counter
        patch.setattr(mu.runs.time, "perf_counter", lambda: real() + self.ahead)


def test_the_stopwatch_stands_still_where_nothing_is_worked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, run = Clock(monkeypatch), Run(device="cpu")
    with run.stopwatch() as outer:
        clock.ahead += 1e3
        with run.untimed():
            clock.ahead += 1e6
        with run.stopwatch() as inner, raised(ZeroDivisionError), run.untimed():
            clock.ahead += 1e6
            raise ZeroDivisionError
    assert 1e3 <= outer[0] < 1e4
    assert inner[0] < 1e3


def test_keeping_progress_is_no_part_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, kept = Clock(monkeypatch), list[Progress]()

    class Slow:
        def save(self, progress: Progress) -> None:
            clock.ahead += 1e6
            kept.append(progress)

        def last(self) -> None:
            return None

    data = make_dataset()
    model, run = make_recipe(data).model.build(0), Run(device="cpu")
    with run.stopwatch() as seconds:
        train_resumably(
            model, data.training_subset(np.arange(40)), Training(epochs=3, batch_size=20), run,
            mask=Mask.dense(model, []), checkpointer=Slow(),
        )  # fmt: skip
    assert len(kept) == 3
    assert max(seconds[0], *(one.seconds for one in kept)) < 1e5


def test_training_goes_on_while_the_store_is_stuck(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of this runs in one thread: had one call waited, it would never come to its end."""
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.01)
    run = Run(device="cpu")
    with tracked(store, "prune", "x") as recorder, stuck(monkeypatch, store) as held:
        with run_checkpointer(recorder, {}) as checkpointer, run.stopwatch():
            recorder.put("references/000.npz", b"0")
            for epoch in range(1, 6):
                recorder.metrics({"loss": epoch}, epoch)
                recorder.dataset("digits", "abc", "here", {})
                checkpointer.save(progress_of(epoch))
                if epoch == 1:  # the threads are in the middle of a request
                    until(lambda: len(held.called) == 2)
            recorder.put("references/001.npz", b"1")
        assert sorted(held.called) == ["log_batch", "references/000.npz"]
        held.free.set()
        until(lambda: recorder.is_delivered)
    # Files in their order, then the newest progress; what was older is dropped.
    sent = [one for one in held.called if one != "log_batch"]
    assert sent[:2] == ["references/000.npz", "references/001.npz"]
    (newest,) = {*sent[2:]}
    assert newest.startswith("resume/round-000-epoch-000005-")
    history = store.client.get_metric_history(recorder.run_id, "loss")
    assert [one.step for one in history] == [1, 2, 3, 4, 5]


def test_each_failure_makes_the_next_pause_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, failures = list[float](), iter([True] * 8 + [False, True, False])

    class Watched(sender_module.Sender):
        def _begins(self, pause: float) -> bool:
            pauses.append(pause)
            return len(pauses) < 12

    def deliver() -> None:
        if next(failures):
            raise OSError("down")

    said: list[Exception] = []
    Watched(deliver, said.append)
    until(lambda: len(pauses) == 12)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60, 0, 1, 0]
    assert len(said) == 9


# --- stopped while the store is stuck -----------------------------------------------------


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_module, "CLOSING_SECONDS", 0.3)


def sync(capsys: pytest.CaptureFixture[str], *folders: Path) -> str:
    assert call("mu", "sync", *map(str, folders)) == 0
    return capsys.readouterr().out


def kept_in(errors: str) -> Path:
    """The folder that the last lines name."""
    (line,) = (one for one in errors.splitlines() if "mu sync " in one)
    return Path(line.rpartition("mu sync ")[2])


@pytest.mark.parametrize("number", list(ENDS), ids=lambda number: number.name)
def test_stopped_while_the_store_is_stuck(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], number: signal.Signals,
) -> None:  # fmt: skip
    with (
        raised(ENDS[number]),
        stuck(monkeypatch, store) as held,
        tracked(store, "prune", "x") as recorder,
        run_checkpointer(recorder, {}) as checkpointer,
    ):
        recorder.metrics({"loss": 1.5}, 3)
        recorder.params({"rate": 0.5})
        recorder.put("references/000.npz", b"0")
        checkpointer.save(progress_of(3))
        (recorder.folder / "weights").write_text("days of work")
        signal.raise_signal(number)
    assert held.lost
    assert the_run(store).info.status == "RUNNING"
    errors = capsys.readouterr().err
    assert f"resume_run_id={recorder.run_id}" in errors
    folder = kept_in(errors)
    assert folder == recorder.folder
    assert (folder / "references" / "000.npz").read_bytes() == b"0"
    said = sync(capsys)
    assert recorder.run_id in said
    assert "it is KILLED" in said
    run = store.run(recorder.run_id)
    assert (run.info.status, run.data.tags["mu.error"]) == ("KILLED", f"stopped by {number.name}")
    assert run.data.params == {"rate": "0.5"}
    (point,) = store.client.get_metric_history(recorder.run_id, "loss")
    assert (point.step, point.value) == (3, 1.5)
    root = Path(run.info.artifact_uri)
    assert (root / "weights").read_text() == "days of work"
    assert (root / "references" / "000.npz").read_bytes() == b"0"
    (kept,) = (root / FOLDER).iterdir()
    assert "epoch-000003" in kept.name
    assert not folder.exists()
    assert sync(capsys) == "nothing waits to be delivered\n"


def test_results_that_were_not_stored_are_delivered_and_the_run_is_finished(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        refused("could not be stored", "mu sync ") as refusal,
        tracked(store, "prune", "x") as recorder,
        run_checkpointer(recorder, {}) as checkpointer,
    ):
        checkpointer.save(progress_of(1))
        until(lambda: recorder.is_delivered)
        (recorder.folder / "sub").mkdir()
        (recorder.folder / "sub" / "weights").write_text("days of work")
        recorder.metrics({"TA": 90.0})
        failing(monkeypatch, store, "log_artifacts", "log_batch")
    monkeypatch.undo()
    assert the_run(store).info.status == "FAILED"
    folder = kept_in(refusal.message)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert "delivered 1 file, 1 number; it is FINISHED" in sync(capsys, folder)
    run = the_run(store)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"TA": 90.0})
    assert "mu.error" not in run.data.tags
    root = Path(run.info.artifact_uri)
    assert [one.name for one in root.iterdir()] == ["sub"]
    with refused(str(folder), "holds nothing"):
        deliver(store, folder)


def test_what_was_resumed_since_is_left_alone(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raised(Stopped), stuck(monkeypatch, store), tracked(store, "prune", "x") as recorder:
        recorder.tags({"mu.data": "old"})
        signal.raise_signal(signal.SIGTERM)
    store.client.set_terminated(recorder.run_id, "KILLED")
    with tracked(store, "prune", "x", resume=recorder.run_id) as again:
        again.tags({"mu.data": "new"})
    assert "was resumed since" in deliver(store, recorder.folder)
    run = the_run(store)
    assert (run.info.status, run.data.tags["mu.data"]) == ("FINISHED", "new")
    assert json.loads((recorder.folder / KEPT_FILE).read_text())["run_id"] == recorder.run_id


def test_a_run_that_cannot_be_opened_can_be_stopped(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def hangs(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        held.wait(PATIENCE)

    monkeypatch.setattr(store.client, "create_run", hangs)
    with raised(Stopped), tracked(store, "prune", "x"):
        pytest.fail("there is no run")
    assert not any(scratch.iterdir())
    held.set()
