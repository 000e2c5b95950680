"""A run's status tells the truth, whatever ends it, and nothing that was written is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from mu.errors import UserError
from mu.tracking import Recorder, Stopped, Store, connect, log_to, telling, tracked
from mu.tracking import recorder as recorder_module
from mu.tracking.lifecycle import fail_launched_run
from tests.helpers import refused
from tests.processes import PATIENCE, line_of, python

DOWN = MlflowException("API request failed with exception: [Errno 111] Connection refused")


def raised(kind: type[BaseException]) -> AbstractContextManager[object]:
    """Expect the work in the block, of however many statements, to end so."""
    return pytest.raises(kind)


def the_run(store: Store) -> MlflowRun:
    """The only run of the store."""
    (run,) = store.search("")
    return run


def artifacts(store: Store, run_id: str) -> list[str]:
    return sorted(one.path for one in store.client.list_artifacts(run_id))


def failing(monkeypatch: pytest.MonkeyPatch, store: Store, *names: str) -> None:
    """Let methods of the store's client fail as they do when it is down."""

    def fails(*_: object, **__: object) -> None:
        raise DOWN

    for name in names:
        monkeypatch.setattr(store.client, name, fails)


def before(
    monkeypatch: pytest.MonkeyPatch, store: Store, name: str, act: Callable[[], None]
) -> None:
    """Let something happen each time that a method of the store's client is called."""
    method = getattr(store.client, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        act()
        return method(*arguments, **named)

    monkeypatch.setattr(store.client, name, wrapped)


def after(
    monkeypatch: pytest.MonkeyPatch, store: Store, name: str, act: Callable[[], None]
) -> None:
    """Let something happen each time that a method of the store's client has done its work."""
    method = getattr(store.client, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        found = method(*arguments, **named)
        act()
        return found

    monkeypatch.setattr(store.client, name, wrapped)


# --- runs that end well -------------------------------------------------------------------


def test_a_run_that_ends_well(store: Store, scratch: Path) -> None:
    with tracked(store, "prune", "a name") as recorder:
        recorder.params({"rate": 0.95, "train_size": None})
        recorder.metrics({"loss": 1.23456789}, 0)
        recorder.metrics({"loss": 0.5}, 1)
        recorder.tags({"mu.data": "abc"})
        recorder.describe("**text**")
        (recorder.folder / "sub").mkdir()
        (recorder.folder / "sub" / "file.txt").write_text("content")
    run = the_run(store)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "a name")
    assert run.data.params == {"rate": "0.95", "train_size": "none"}
    history = store.client.get_metric_history(recorder.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(0, 1.235), (1, 0.5)]
    assert run.data.tags["mu.entry"] == "prune"
    assert run.data.tags["mu.data"] == "abc"
    assert run.data.tags["mlflow.note.content"] == "**text**"
    assert artifacts(store, recorder.run_id) == ["sub"]
    assert not any(scratch.iterdir())


def test_finished_only_after_the_artifacts_are_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[str]] = {}
    with tracked(store, "prune", "x") as recorder:

        def look() -> None:
            status = store.run(recorder.run_id).info.status
            seen.setdefault(status, artifacts(store, recorder.run_id))

        before(monkeypatch, store, "set_terminated", look)
        (recorder.folder / "file.txt").write_text("content")
    assert seen == {"RUNNING": ["file.txt"]}
    assert the_run(store).info.status == "FINISHED"


def test_numbers_arrive_while_the_work_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.02)
    with tracked(store, "prune", "x") as recorder:
        recorder.params({"rate": 0.5})
        recorder.metrics({"loss": 1.0})
        deadline = time.monotonic() + 20
        while "loss" not in store.run(recorder.run_id).data.metrics:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert store.run(recorder.run_id).data.params == {"rate": "0.5"}


def test_more_numbers_than_one_request_may_carry(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "BATCH", 7)
    with tracked(store, "prune", "x") as recorder:
        for step in range(50):
            recorder.metrics({"loss": step}, step)
    history = store.client.get_metric_history(recorder.run_id, "loss")
    assert [one.value for one in history] == list(range(50))


def test_numbers_sent_twice_stand_once(store: Store) -> None:
    with tracked(store, "prune", "x") as recorder:
        recorder.params({"rate": 0.5})
        recorder.metrics({"loss": 1.0}, 3)
        again = list(recorder._waiting)
        recorder.send()
        recorder._waiting += again  # what an interrupted request leaves
    assert len(store.client.get_metric_history(recorder.run_id, "loss")) == 1


# --- runs that fail -----------------------------------------------------------------------


def test_an_exception_fails_the_run_and_goes_on(store: Store, scratch: Path) -> None:
    with raised(ZeroDivisionError), tracked(store, "prune", "x") as recorder:
        recorder.metrics({"loss": 1.0})
        raise ZeroDivisionError("one line\nanother")
    run = the_run(store)
    assert run.info.status == "FAILED"
    assert run.data.tags["mu.error"] == "one line"
    assert run.data.metrics == {"loss": 1.0}
    assert artifacts(store, recorder.run_id) == []
    assert not any(scratch.iterdir())


@pytest.mark.parametrize("error", [SystemExit(0), AssertionError(), UserError("do that")])
def test_whatever_is_raised_fails_the_run(store: Store, error: BaseException) -> None:
    with raised(type(error)), tracked(store, "prune", "x"):
        raise error
    run = the_run(store)
    assert run.info.status == "FAILED"
    assert run.data.tags["mu.error"] == (str(error) or type(error).__name__)


def test_files_of_a_failed_run_are_kept_and_named(
    store: Store, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with raised(ZeroDivisionError), tracked(store, "prune", "x") as recorder:
        (recorder.folder / "weights").write_text("days of work")
        raise ZeroDivisionError
    assert (recorder.folder / "weights").read_text() == "days of work"
    assert str(recorder.folder) in capsys.readouterr().err


def test_upload_that_fails_keeps_the_folder_and_names_it(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.client, "log_artifacts", full)
    with (
        refused("could not be stored", "No space left on device", str(scratch)),
        tracked(store, "prune", "x") as recorder,
    ):
        (recorder.folder / "weights").write_text("days of work")
    run = the_run(store)
    assert run.info.status == "FAILED"
    assert str(recorder.folder) in run.data.tags["mu.error"]
    assert (recorder.folder / "weights").read_text() == "days of work"
    assert capsys.readouterr().err == ""


def test_a_store_that_cannot_mark_the_end(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        refused("could not be marked as finished", "Connection refused"),
        tracked(store, "prune", "x") as recorder,
    ):
        (recorder.folder / "weights").write_text("days of work")
        failing(monkeypatch, store, "set_terminated", "set_tag")
    assert artifacts(store, recorder.run_id) == ["weights"]


def test_a_store_that_is_gone_does_not_hide_the_reason(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raised(ZeroDivisionError), tracked(store, "prune", "x"):
        failing(monkeypatch, store, "set_terminated", "set_tag", "log_batch")
        raise ZeroDivisionError


def test_a_store_that_opens_no_run(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, store, "create_run")
    with refused(store.uri, "Connection refused"), tracked(store, "prune", "x"):
        pytest.fail("there is no run")
    assert not any(scratch.iterdir())


def test_views_that_cannot_be_set_cost_only_the_views(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, store, "set_experiment_tag")
    with tracked(store, "prune", "x"):
        pass
    assert the_run(store).info.status == "FINISHED"


# --- a store that fails for a while -------------------------------------------------------


def test_what_is_logged_is_kept_while_the_store_fails_and_sent_later(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.01)
    with tracked(store, "prune", "x") as recorder, monkeypatch.context() as outage:
        failing(outage, store, "log_batch", "get_run")
        for step in range(5):
            recorder.metrics({"loss": step}, step)
            recorder.params({"rate": 0.5})
            recorder.tags({"mu.data": "abc"})
            time.sleep(0.05)
    run = the_run(store)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rate": "0.5"}
    assert run.data.tags["mu.data"] == "abc"
    history = store.client.get_metric_history(recorder.run_id, "loss")
    assert [one.step for one in history] == list(range(5))
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: ")
    assert "Connection refused" in warnings[0]


def test_logging_never_waits_for_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.01)
    with tracked(store, "prune", "x") as recorder, monkeypatch.context() as slow:
        before(slow, store, "log_batch", lambda: time.sleep(0.5))
        recorder.metrics({"loss": 0})
        time.sleep(0.1)  # the thread is in the middle of a request
        start = time.monotonic()
        recorder.metrics({"loss": 1}, 1)
        recorder.params({"rate": 0.5})
        recorder.tags({"mu.data": "abc"})
        assert time.monotonic() - start < 0.2


def test_a_store_that_stays_down_ends_the_run_with_one_line_and_the_results_kept(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        refused("could not be stored", "Connection refused", str(scratch)),
        tracked(store, "prune", "x") as recorder,
    ):
        (recorder.folder / "weights").write_text("days of work")
        failing(monkeypatch, store, "log_batch", "set_tag", "set_terminated", "log_artifacts")
        recorder.tags({"mu.data": "abc"})
    assert (recorder.folder / "weights").exists()


# --- signals ------------------------------------------------------------------------------


ENDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Stopped}
each_signal = pytest.mark.parametrize("number", list(ENDS), ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in ENDS}
    yield
    assert {number: signal.getsignal(number) for number in ENDS} == handlers


@each_signal
def test_a_signal_during_the_work(store: Store, scratch: Path, number: signal.Signals) -> None:
    with raised(ENDS[number]), tracked(store, "prune", "x") as recorder:
        recorder.metrics({"loss": 1.0})
        signal.raise_signal(number)
        pytest.fail("the signal should have ended the work")
    run = the_run(store)
    assert run.info.status == "KILLED"
    assert run.data.tags["mu.error"] == f"stopped by {number.name}"
    assert run.data.metrics == {"loss": 1.0}
    assert not any(scratch.iterdir())


@each_signal
def test_a_signal_while_the_run_is_opened_waits_until_it_is_open(
    store: Store, scratch: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    after(monkeypatch, store, "create_run", lambda: signal.raise_signal(number))
    with raised(ENDS[number]), tracked(store, "prune", "x"):
        pytest.fail("the signal should have come before the work")
    assert the_run(store).info.status == "KILLED"
    assert not any(scratch.iterdir())


@each_signal
def test_a_signal_while_the_results_are_uploaded_keeps_them(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    scratch: Path, number: signal.Signals,
) -> None:  # fmt: skip
    before(monkeypatch, store, "log_artifacts", lambda: signal.raise_signal(number))
    with raised(ENDS[number]), tracked(store, "prune", "x") as recorder:
        (recorder.folder / "weights").write_text("days of work")
    assert the_run(store).info.status == "KILLED"
    assert (recorder.folder / "weights").exists()
    assert str(recorder.folder) in capsys.readouterr().err


@each_signal
def test_a_signal_in_the_middle_of_a_request_does_not_block_the_closing(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with raised(ENDS[number]), tracked(store, "prune", "x") as recorder:
        recorder.metrics({"loss": 1.0})
        with monkeypatch.context() as once:
            before(once, store, "log_batch", lambda: signal.raise_signal(number))
            recorder.send()
    run = the_run(store)
    assert run.info.status == "KILLED"
    assert run.data.metrics == {"loss": 1.0}


@each_signal
def test_a_signal_while_the_run_is_marked_finished_leaves_it_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before(monkeypatch, store, "set_terminated", lambda: signal.raise_signal(number))
    with raised(ENDS[number]), tracked(store, "prune", "x") as recorder:
        (recorder.folder / "file.txt").write_text("content")
    assert the_run(store).info.status == "FINISHED"
    assert artifacts(store, recorder.run_id) == ["file.txt"]


@pytest.mark.parametrize("method", ["set_tag", "set_terminated"])
def test_an_impatient_second_signal_does_not_interrupt_the_closing(
    store: Store, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def again() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    before(monkeypatch, store, method, again)
    with raised(KeyboardInterrupt), tracked(store, "prune", "x"):
        signal.raise_signal(signal.SIGINT)
    assert the_run(store).info.status == "KILLED"


def test_a_signal_while_a_failure_is_written_down_does_not_hide_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, store, "set_tag", lambda: signal.raise_signal(signal.SIGTERM))
    with raised(ZeroDivisionError), tracked(store, "prune", "x"):
        raise ZeroDivisionError
    assert the_run(store).info.status == "FAILED"


@each_signal
def test_a_signal_ends_an_inner_and_an_outer_run(store: Store, number: signal.Signals) -> None:
    with raised(ENDS[number]), tracked(store, "unlearn", "outer"):
        with tracked(store, "prune", "finished"):
            pass
        with tracked(store, "unlearn", "inner"):
            signal.raise_signal(number)
    statuses = {run.info.run_name: run.info.status for run in store.search("")}
    assert statuses == {"outer": "KILLED", "inner": "KILLED", "finished": "FINISHED"}


def test_a_signal_that_the_process_ignores_stays_ignored(store: Store) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for `command &`
    try:
        with tracked(store, "prune", "x"):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert the_run(store).info.status == "FINISHED"


CHILD = """
import time
import click
from mu.cli.main import run

def work():
    from mu.tracking import connect, tracked
    with tracked(connect(), "prune", "child") as recorder:
        print(recorder.run_id, flush=True)
        time.sleep(600)

run(lambda arguments: click.Command("child", callback=work), [])
"""


@pytest.mark.slow
def test_real_processes_end_with_the_status_of_their_signal(store: Store) -> None:
    with python("-c", CHILD) as first, python("-c", CHILD) as second:
        children: dict[signal.Signals, subprocess.Popen[str]] = {
            signal.SIGINT: first,
            signal.SIGTERM: second,
        }
        run_ids = {number: line_of(child) for number, child in children.items()}
        for number, child in children.items():
            child.send_signal(number)
        for number, child in children.items():
            _, errors = child.communicate(timeout=PATIENCE)
            assert child.returncode == 128 + number
            assert errors.split("\n")[-2] == f"stopped by {number.name}"
            assert "Traceback" not in errors
    assert {store.run(one).info.status for one in run_ids.values()} == {"KILLED"}


# --- the launcher's run -------------------------------------------------------------------


@pytest.fixture
def launched(store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run as MLflow's launcher opens it for a process, parameters logged as text."""
    run = store.client.create_run("0", tags={"mlflow.project.entryPoint": "prune"})
    store.client.log_param(run.info.run_id, "lr", "1e-2")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    return str(run.info.run_id)


def test_attaches_once_and_the_run_opened_next_is_another(store: Store, launched: str) -> None:
    with tracked(store, "unlearn", "outer") as outer, tracked(store, "prune", "inner") as inner:
        assert outer.run_id == launched
        assert inner.run_id != launched
    assert store.run(launched).info.run_name == "outer"
    assert {run.info.status for run in store.search("")} == {"FINISHED"}


def test_parameters_of_the_launcher_are_not_logged_again(store: Store, launched: str) -> None:
    with tracked(store, "prune", "x") as recorder:
        recorder.params({"lr": 0.01, "epochs": 2})
        recorder.send()
        recorder.params({"lr": 0.01, "epochs": 2, "seed": 0})
    assert store.run(launched).data.params == {"lr": "1e-2", "epochs": "2", "seed": "0"}


def test_a_run_that_has_ended_is_not_written_to(store: Store, launched: str, scratch: Path) -> None:
    store.client.set_terminated(launched, "FINISHED")
    with refused(launched, "FINISHED", "unset it"), tracked(store, "prune", "x"):
        pytest.fail("there is no run")
    fail_launched_run("the reason")
    assert store.run(launched).info.status == "FINISHED"


def test_an_unknown_run_of_the_launcher(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with refused("there is no run"), tracked(store, "prune", "x"):
        pytest.fail("there is no run")


def test_the_launchers_run_fails_with_the_reason_and_only_once(
    store: Store, launched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_launched_run("rate=1: must be below 1")
    run = store.run(launched)
    assert run.info.status == "FAILED"
    assert run.data.tags["mu.error"] == "rate=1: must be below 1"
    fail_launched_run("another")
    assert store.run(launched).data.tags["mu.error"] == "rate=1: must be below 1"


def test_without_a_launcher_nothing_fails(store: Store) -> None:
    fail_launched_run("the reason")
    assert list(store.search("")) == []


def test_a_launcher_whose_store_is_gone_is_no_second_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:/nowhere")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    fail_launched_run("the reason")


# --- lineage ------------------------------------------------------------------------------


def test_tags_tell_process_commit_and_user(store: Store) -> None:
    with tracked(store, "prune", "x"):
        pass
    tags = the_run(store).data.tags
    assert {"mu.host", "mu.pid", "mu.process_start", "mlflow.user", "mlflow.source.name"} <= set(
        tags
    )
    if shutil.which("git") and (Path(__file__).parents[2] / ".git").exists():
        assert len(tags["mu.commit"]) == 40
        assert tags["mu.dirty"] in ("true", "false")


def test_without_git_there_is_no_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "git", None)
    with tracked(store, "prune", "x"):
        pass
    assert "mu.commit" not in the_run(store).data.tags


def test_outside_the_main_thread_the_caller_owns_the_signals(store: Store) -> None:
    from threading import Thread

    def work() -> None:
        with tracked(connect(), "prune", "x") as recorder:
            assert isinstance(recorder, Recorder)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert the_run(store).info.status == "FINISHED"


def test_what_is_measured_again_replaces_what_was_there(store: Store) -> None:
    with tracked(store, "unlearn", "small") as recorder:
        recorder.metrics({"UA": 1.0, "RA": 5.0})
    log_to(store, recorder.run_id, {"UA": 2.0, "ece": 3.0}, "evaluation")
    found = the_run(store).data
    assert found.metrics == {"UA": 2.0, "RA": 5.0, "ece": 3.0}
    assert found.tags["mu.evaluation"] == "evaluation"
