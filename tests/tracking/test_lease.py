"""Whose run it is: machines that are gone, containers of one name, and processes that compete."""

from __future__ import annotations

import os
import socket
import time

import pytest

from mu.tracking import Stopped, Store, close_dead_runs, tracked
from mu.tracking import lease as lease_module
from mu.tracking import recorder as recorder_module
from mu.tracking.lease import LEASE_SECONDS, process_tags
from mu.tracking.lifecycle import _reopen
from mu.tracking.resuming import resumable_run
from tests.helpers import refused
from tests.tracking.test_doctor import running, status, verdicts
from tests.tracking.test_recorder import after, raised, the_run
from tests.tracking.test_waiting import until


def tags_of(**changes: str) -> dict[str, str]:
    """The tags of a RUNNING prune run of a container with this host's name and process number."""
    tags = {"mu.entry": "prune", **process_tags(), "mu.process": "another-0", **changes}
    return {name.replace(".", "__"): value for name, value in tags.items() if value}


def ago(seconds: float) -> str:
    return str(int(time.time() - seconds))


def test_a_container_of_the_same_name_and_number_is_not_taken_for_this_one(store: Store) -> None:
    """This very process has its name, number and start, and yet it is another's run."""
    run_id = running(store, **tags_of())
    assert verdicts(store) == {run_id: "elsewhere"}
    with refused(run_id, "RUNNING", "heard of", f"after {LEASE_SECONDS:.0f} s of silence"):
        resumable_run(store, run_id, "prune")
    # Nor is it dead because no process of this machine has its number.
    store.client.set_tag(run_id, "mu.pid", str(2**22 + 1))
    assert verdicts(store) == {run_id: "elsewhere"}


def test_a_run_whose_host_is_gone_is_free_when_it_was_silent_for_long(store: Store) -> None:
    gone = {"mu.host": "spot-17"}
    fresh = running(store, **tags_of(**gone, **{"mu.heartbeat": ago(LEASE_SECONDS - 60)}))
    old = running(store, **tags_of(**gone, **{"mu.heartbeat": ago(LEASE_SECONDS + 60)}))
    assert resumable_run(store, old, "prune").info.run_id == old
    with tracked(store, "prune", "x", resume=old) as recorder:
        assert recorder.run_id == old
    assert status(store, old) == "FINISHED"
    assert verdicts(store) == {fresh: "elsewhere"}
    store.client.set_tag(fresh, "mu.heartbeat", ago(LEASE_SECONDS + 60))
    assert verdicts(store) == {fresh: "dead"}
    assert status(store, fresh) == "FAILED"


def test_a_host_that_is_said_to_be_gone(store: Store) -> None:
    earlier = {"mu.process": "", "mu.heartbeat": ""}  # a run of an earlier version
    silent = running(store, **tags_of(**{"mu.host": "spot-17"}, **earlier))
    other = running(store, **tags_of(**{"mu.host": "spot-18"}, **earlier))
    alive = running(store, **tags_of(**{"mu.host": "spot-17", "mu.heartbeat": ago(5)}))
    with refused("mu doctor --host spot-17"):
        resumable_run(store, silent, "prune")
    assert set(verdicts(store).values()) == {"elsewhere"}
    found = {one.run_id: verdict for one, verdict in close_dead_runs(store, 1.0, "spot-17")}
    assert found == {silent: "dead", other: "elsewhere", alive: "elsewhere"}
    assert resumable_run(store, silent, "prune").info.status == "FAILED"


def test_runs_of_earlier_versions_are_looked_up_by_host_and_number(store: Store) -> None:
    run_id = running(store, **tags_of(**{"mu.process": "", "mu.heartbeat": ""}))
    assert verdicts(store) == {run_id: "alive"}


def test_a_process_says_that_it_lives_while_it_works(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(recorder_module, "HEARTBEAT_SECONDS", 0.01)
    with tracked(store, "prune", "x") as recorder:
        store.client.set_tag(recorder.run_id, "mu.heartbeat", "1")
        until(lambda: store.run(recorder.run_id).data.tags["mu.heartbeat"] != "1")
    assert abs(float(the_run(store).data.tags["mu.heartbeat"]) - time.time()) < 60


def test_a_process_whose_run_was_taken_over_ends_and_leaves_it_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(recorder_module, "HEARTBEAT_SECONDS", 0.01)
    with raised(Stopped), tracked(store, "prune", "x") as recorder:
        store.client.set_tag(recorder.run_id, "mu.host", "spot-17")
        store.client.set_tag(recorder.run_id, "mu.process", "another-0")
        until(lambda: False)
    assert "was taken over by a process on spot-17; this one ends" in capsys.readouterr().err
    run = the_run(store)
    assert (run.info.status, run.data.tags["mu.process"]) == ("RUNNING", "another-0")
    assert "mu.error" not in run.data.tags


def dead_run(store: Store) -> str:
    return running(store, **tags_of(**{"mu.heartbeat": ago(LEASE_SECONDS + 60)}))


def test_two_that_resume_at_once_do_not_both_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of containers with the same host name and process number; the other one writes last."""
    run_id, other = dead_run(store), {**process_tags(), "mu.process": "another-1"}
    written: list[str] = []

    def also() -> None:
        if not written:
            written.append("once")
            for name, value in other.items():
                store.client.set_tag(run_id, name, value)

    after(monkeypatch, store, "log_batch", also)
    host, number = socket.gethostname(), str(os.getpid())
    with refused(run_id, "at the same time", host, number):
        _reopen(store, run_id, process_tags())


def test_one_that_comes_later_does_not_go_on(store: Store) -> None:
    run_id = dead_run(store)
    seen = resumable_run(store, run_id, "prune")  # and then another one is quicker
    assert _reopen(store, run_id, {**process_tags(), "mu.process": "another-1"}) == run_id
    with refused(run_id, "at the same time"):
        _reopen(store, run_id, process_tags())
    assert seen.info.run_id == run_id


def test_machines_differ_by_boot_and_process_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    here = lease_module.machine.__wrapped__()
    assert here == lease_module.machine.__wrapped__()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "readlink", lambda _: "pid:[1]")
        other = lease_module.machine.__wrapped__()
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "another boot")
    assert len({here, other, lease_module.machine.__wrapped__()}) == 3
