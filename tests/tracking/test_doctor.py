"""The doctor closes runs whose process is gone, and leaves every other alone."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from mu.tracking import Store, close_dead_runs, tracked
from mu.tracking import doctor as doctor_module
from mu.tracking import store as store_module
from tests.commands import call
from tests.processes import PATIENCE, line_of, python
from tests.tracking.handovers import hand_over

HOUR = 3600 * 1000
GONE = 2**22 + 1  # above the largest process number that Linux gives


def running(store: Store, *, hours: float = 0.0, **tags: str) -> str:
    """A run that is RUNNING, opened some hours ago, with these tags of mu."""
    start = int(time.time() * 1000 - hours * HOUR)
    named = {name.replace("__", "."): value for name, value in tags.items()}
    return str(store.client.create_run("0", start_time=start, tags=named).info.run_id)


def process_tags(**changes: str) -> dict[str, str]:
    """What a run of this very process would be tagged with."""
    tags = {
        "mu__entry": "prune",
        "mu__host": socket.gethostname(),
        "mu__pid": str(os.getpid()),
        "mu__process_start": f"{psutil.Process().create_time():.2f}",
    }
    return {**tags, **changes}


def verdicts(store: Store, orphan_hours: float = 1.0) -> dict[str, str]:
    return {one.run_id: verdict for one, verdict in close_dead_runs(store, orphan_hours)}


def status(store: Store, run_id: str) -> str:
    return str(store.run(run_id).info.status)


CHILD = """
import time
from mu.tracking import connect, tracked
with tracked(connect(), "prune", "child") as recorder:
    print(recorder.run_id, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_process_killed_outright(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody clears up its scratch folder
    with python("-c", CHILD) as child:
        run_id = line_of(child)
        assert verdicts(store) == {run_id: "alive"}
        os.kill(child.pid, signal.SIGKILL)
        # Nobody has asked for its exit status yet: a zombie is no process that works.
        deadline = time.monotonic() + PATIENCE
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert status(store, run_id) == "RUNNING"
        ((one, verdict),) = close_dead_runs(store, 1.0)
        assert (one.run_id, one.name, one.entry, verdict) == (run_id, "child", "prune", "dead")
    assert status(store, run_id) == "FAILED"
    assert store.run(run_id).data.tags["mu.error"] == "its process was gone"
    assert verdicts(store) == {}


def test_a_run_of_this_process_is_alive(store: Store) -> None:
    with tracked(store, "prune", "x") as recorder:
        assert verdicts(store) == {recorder.run_id: "alive"}
    assert status(store, recorder.run_id) == "FINISHED"


def test_a_process_that_is_gone(store: Store) -> None:
    run_id = running(store, **process_tags(mu__pid=str(GONE)))
    assert verdicts(store) == {run_id: "dead"}
    assert status(store, run_id) == "FAILED"


def test_a_process_number_that_is_used_again(store: Store) -> None:
    earlier = f"{psutil.Process().create_time() - 60:.2f}"
    run_id = running(store, **process_tags(mu__process_start=earlier))
    assert verdicts(store) == {run_id: "dead"}


def test_a_clock_that_was_set_kills_nobody(store: Store) -> None:
    moved = f"{psutil.Process().create_time() + 4:.2f}"
    run_id = running(store, **process_tags(mu__process_start=moved))
    assert verdicts(store) == {run_id: "alive"}


def test_a_process_of_another_user_is_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_self: psutil.Process) -> float:
        raise psutil.AccessDenied

    run_id = running(store, **process_tags())
    monkeypatch.setattr(psutil.Process, "create_time", denied)
    assert verdicts(store) == {run_id: "alive"}


def test_runs_of_another_host_are_left_alone(store: Store) -> None:
    run_id = running(store, hours=1000, **process_tags(mu__host="elsewhere", mu__pid=str(GONE)))
    ((one, verdict),) = close_dead_runs(store, 1.0)
    assert (verdict, one.tags["mu.host"]) == ("elsewhere", "elsewhere")
    assert status(store, run_id) == "RUNNING"


def test_orphans_of_the_launcher_are_closed_when_they_are_old(store: Store) -> None:
    fresh = running(store, mlflow__project__entryPoint="unlearn")
    old = running(store, hours=2, mlflow__project__entryPoint="prune")
    assert verdicts(store) == {fresh: "unknown", old: "dead"}
    assert status(store, fresh) == "RUNNING"
    assert status(store, old) == "FAILED"
    assert verdicts(store, orphan_hours=0.0) == {fresh: "dead"}


def test_runs_of_others_are_left_alone(store: Store) -> None:
    foreign = running(store, hours=1000)
    project = running(store, hours=1000, mlflow__project__entryPoint="main")
    torn = running(store, hours=1000, mu__entry="prune", mu__pid="many", mu__host="x")
    assert set(verdicts(store).values()) == {"unknown"}
    assert {status(store, one) for one in (foreign, project, torn)} == {"RUNNING"}


def test_a_run_that_ends_by_itself_in_the_meantime_stays_as_it_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = running(store, **process_tags())

    def ends(*_: object) -> str:
        store.client.set_terminated(run_id, "FINISHED")
        return "dead"

    monkeypatch.setattr(doctor_module, "verdict_of", ends)
    assert verdicts(store) == {}
    assert status(store, run_id) == "FINISHED"


def test_all_of_many_dead_runs_are_closed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PAGE", 3)
    made = {running(store, **process_tags(mu__pid=str(GONE))) for _ in range(10)}
    assert verdicts(store) == dict.fromkeys(made, "dead")
    assert verdicts(store) == {}


def test_ended_and_deleted_runs_are_not_looked_at(store: Store) -> None:
    for ended in ("FINISHED", "FAILED", "KILLED"):
        hand_over(store, status=ended)
    store.client.delete_run(running(store, **process_tags(mu__pid=str(GONE))))
    assert verdicts(store) == {}


def test_the_command_says_what_it_did(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    def command(*arguments: str) -> str:
        assert call("mu", "doctor", *arguments) == 0
        return capsys.readouterr().out

    said = command()
    assert f"store {store.uri}, experiment 0" in said
    assert "no run is RUNNING" in said
    dead = running(store, **process_tags(mu__pid=str(GONE)))
    far = running(store, **process_tags(mu__host="elsewhere"))
    orphan = running(store, mlflow__project__entryPoint="prune")
    said = command()
    assert f"{dead}  prune" in said
    assert "closed as FAILED" in said
    assert "runs on elsewhere" in said
    assert f"{orphan}  prune" in said
    assert status(store, far) == "RUNNING"
    assert "closed as FAILED" in command("--orphan-hours", "0")
