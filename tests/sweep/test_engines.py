"""Engines: workers are used again, replaced when they die, and never left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import psutil
import pytest

from mu.tasks.sweep.engines import Answer, Engine, Perform, WorkerDiedError
from mu.tasks.sweep.engines import processes as module
from mu.tasks.sweep.engines.processes import Processes
from mu.tasks.sweep.plan import Task
from mu.tasks.sweep.schedule import Schedule, drive
from tests.processes import PATIENCE, line_of, python
from tests.sweep.plans import small_plan
from tests.sweep.workers import perform, stubborn, work

Start = Callable[..., Processes]


@pytest.fixture
def start() -> Iterator[Start]:
    engines: list[Processes] = []

    def starting(jobs: int, function: Perform = perform) -> Processes:
        engines.append(Processes(function, [{"PLACE": str(place)} for place in range(jobs)]))
        return engines[-1]

    yield starting
    for engine in engines:
        engine.close()


def result(engine: Processes, answer: Answer) -> dict[str, Any]:
    assert not wait([answer], PATIENCE).not_done
    return engine.result(answer)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def begun(mark: Path) -> int:
    """The process that has begun a task, once it has."""
    wait_until(lambda: mark.exists() and mark.read_text() != "")
    return int(mark.read_text())


def test_workers_have_places_are_used_again_and_are_replaced(start: Start, tmp_path: Path) -> None:
    engine = start(2)
    assert engine.jobs == 2
    one, other = engine.submit({"say": "ä"}), engine.submit({"sleep": 0.2})
    first, second = result(engine, one), result(engine, other)
    assert (first["said"], first["place"], second["place"]) == ("ä", "0", "1")
    assert "PLACE" not in os.environ
    assert result(engine, engine.submit({}))["pid"] == first["pid"]  # it serves again
    # One that dies over a task is replaced, and says how it ended; the other goes on.
    mark = tmp_path / "begun"
    dying, going_on = engine.submit({"die": True}), engine.submit({"touch": str(mark)})
    with pytest.raises(WorkerDiedError, match="ended by SIGKILL"):
        result(engine, dying)
    assert result(engine, going_on)["pid"] == second["pid"]
    third, fourth = engine.submit({"sleep": 0.2}), engine.submit({"leave": 3})
    assert {one.answer for one in engine._workers} == {third, fourth}
    with pytest.raises(WorkerDiedError, match="ended with status 3"):
        result(engine, fourth)
    assert result(engine, third)["pid"] == second["pid"]
    again = result(engine, engine.submit({})), result(engine, engine.submit({}))
    assert {answer["pid"] for answer in again} == {second["pid"]}


def test_a_worker_that_died_while_it_had_nothing_to_do_is_no_matter(start: Start) -> None:
    engine = start(1)
    pid = result(engine, engine.submit({}))["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid))
    # Whether the pool knows of it already is the system's affair; nothing is lost.
    try:
        other = result(engine, engine.submit({}))
    except WorkerDiedError:
        other = result(engine, engine.submit({}))
    assert other["pid"] != pid


def test_closing_ends_workers_gently_at_first(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    engine = start(2, stubborn)
    heeding, stubborn_one = tmp_path / "heeding", tmp_path / "stubborn"
    engine.submit({"sleep": 600, "touch": str(heeding), "heed": True})
    engine.submit({"sleep": 600, "touch": str(stubborn_one)})
    pids = begun(heeding), begun(stubborn_one)
    engine.close()
    assert all(map(gone, pids))
    statuses = [one.process.exitcode for one in engine._workers]
    assert statuses == [-signal.SIGTERM, -signal.SIGKILL]


def test_of_killed_workers_nothing_is_lost_and_nothing_done_twice(
    start: Start, tmp_path: Path
) -> None:
    """One worker is killed before its work is done, one after it."""
    plan = small_plan(originals=2, methods=2)
    schedule, events = Schedule(plan, retries=0), []
    before, after = plan[0].key, plan[1].key

    def find(task: Task) -> dict[str, Any] | None:
        return {"found": True} if (tmp_path / task.key).exists() else None

    def document(task: Task) -> dict[str, Any]:
        first = (task.label, "died") not in events
        kill = "before" if task.key == before else "after" if task.key == after else None
        return {"work": str(tmp_path / task.key), "kill": kill if first else None}

    def changed(task: Task, what: str, about: object) -> None:
        events.append((task.label, what))

    drive(schedule, start(2, work), find, document, changed)
    assert schedule.results.keys() == {task.key for task in plan}
    assert {path.read_text() for path in tmp_path.iterdir()} == {"once"}
    assert [what for label, what in events if label == plan[0].label] == [
        "begun", "died", "again", "begun", "done",
    ]  # fmt: skip
    assert [what for label, what in events if label == plan[1].label] == [
        "begun", "died", "again", "found",
    ]  # fmt: skip


PARENT = """
import sys
from mu.tasks.sweep.engines.processes import Processes
from tests.sweep.workers import perform
if __name__ == "__main__":
    engine = Processes(perform, [{}])
    answer = engine.submit({"sleep": 600, "touch": sys.argv[1]})
    print("begun", flush=True)
    answer.result()
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    mark, script = tmp_path / "begun", tmp_path / "parent.py"
    script.write_text(PARENT)
    with python(str(script), str(mark)) as parent:
        assert line_of(parent) == "begun"
        pid = begun(mark)
        parent.kill()
        wait_until(lambda: gone(pid))


def test_the_local_engine_does_one_after_the_other() -> None:
    engine = Engine(perform)
    assert engine.jobs == 1
    answer = engine.submit({"say": 1})
    assert engine.result(answer)["said"] == 1
    assert engine.result(answer)["pid"] == os.getpid()
    engine.close()
