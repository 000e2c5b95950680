"""The engine ``processes``: workers are reused, replaced when they die, and never left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from mu.sweep.engines import processes as module
from mu.sweep.engines.base import Died, Ended, Perform
from mu.sweep.engines.local import Local
from mu.sweep.engines.processes import Processes

from tests.processes import PATIENCE, line_of, python
from tests.sweep.verbs import perform, stubborn

Start = Callable[..., Processes]


@pytest.fixture
def start() -> Iterator[Start]:
    engines: list[Processes] = []

    def starting(jobs: int, verb: Perform = perform) -> Processes:
        engines.append(Processes(verb, [{"PLACE": str(place)} for place in range(jobs)]))
        return engines[-1]

    yield starting
    for engine in engines:
        engine.close()


def all_of(engine: Processes, count: int) -> list[Ended | Died]:
    found: list[Ended | Died] = []
    end = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end
        found += engine.wait(1.0)
    return found


def answers(events: Sequence[Ended | Died]) -> dict[str, dict[str, object]]:
    assert all(isinstance(one, Ended) for one in events)
    return {one.key: dict(one.answer) for one in events if isinstance(one, Ended)}


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_tasks_run_beside_each_other_in_places_of_their_own_and_workers_serve_again(
    start: Start,
) -> None:
    engine = start(2)
    assert engine.free == 2
    engine.submit("a", {"sleep": 0.2, "say": "ä"})
    engine.submit("b", {"sleep": 0.2})
    assert engine.free == 0
    first = answers(all_of(engine, 2))
    assert {one["place"] for one in first.values()} == {"0", "1"}
    assert first["a"]["said"] == "ä"
    assert "PLACE" not in os.environ
    assert engine.free == 2
    engine.submit("c", {})
    assert answers(all_of(engine, 1))["c"]["pid"] in {one["pid"] for one in first.values()}
    assert engine.wait(0.0) == []


@pytest.mark.parametrize(
    ("document", "how"), [({"die": True}, "SIGKILL"), ({"leave": 3}, "status 3")]
)
def test_a_worker_that_dies_gives_its_task_back_and_is_replaced(
    start: Start, document: dict[str, object], how: str
) -> None:
    engine = start(1)
    engine.submit("a", {})
    pid = answers(all_of(engine, 1))["a"]["pid"]
    engine.submit("b", document)
    (event,) = all_of(engine, 1)
    assert isinstance(event, Died)
    assert event.seat is not None
    assert (event.key, event.seat.pid) == ("b", pid)
    assert how in event.how
    assert engine.free == 1
    engine.submit("b", {})
    other = answers(all_of(engine, 1))["b"]
    assert other["pid"] != pid
    assert other["place"] == "0"


def test_a_worker_that_died_while_it_had_nothing_to_do_is_no_matter(start: Start) -> None:
    engine = start(1)
    engine.submit("a", {})
    pid = answers(all_of(engine, 1))["a"]["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid))
    engine.submit("b", {})
    (event,) = all_of(engine, 1)
    # Whether the pipe takes the task before it breaks is the system's affair; nothing is lost.
    assert event.key == "b"
    if isinstance(event, Died):
        engine.submit("b", {})
        assert set(answers(all_of(engine, 1))) == {"b"}


def test_closing_ends_workers_at_once_and_names_those_that_had_a_task(
    start: Start, tmp_path: Path
) -> None:
    engine = start(2)
    mark = tmp_path / "begun"
    for key in ("one", "other"):  # two workers, of which one then has nothing to do
        engine.submit(key, {"sleep": 0.2})
    all_of(engine, 2)
    engine.submit("busy", {"sleep": 600, "touch": str(mark)})
    wait_until(lambda: mark.exists() and mark.read_text() != "")
    (seat,) = engine.close()
    assert seat.pid == int(mark.read_text())
    assert gone(seat.pid)


def test_a_worker_that_heeds_no_signal_is_killed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    engine = start(1, stubborn)
    mark = tmp_path / "begun"
    engine.submit("busy", {"sleep": 600, "touch": str(mark)})
    wait_until(lambda: mark.exists() and mark.read_text() != "")
    engine.close()
    assert gone(int(mark.read_text()))


PARENT = """
import sys
from mu.sweep.engines.processes import Processes
from tests.sweep.verbs import perform
if __name__ == "__main__":
    engine = Processes(perform, [{}])
    engine.submit("a", {"sleep": 600, "touch": sys.argv[1]})
    print("begun", flush=True)
    engine.wait(600)
"""


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    mark, script = tmp_path / "begun", tmp_path / "parent.py"
    script.write_text(PARENT)
    with python(str(script), str(mark)) as parent:
        assert line_of(parent) == "begun"
        wait_until(lambda: mark.exists() and mark.read_text() != "")
        parent.kill()
        wait_until(lambda: gone(int(mark.read_text())))


def test_the_local_engine_does_one_after_the_other() -> None:
    engine = Local(perform)
    assert engine.free == 1
    engine.submit("a", {"say": 1})
    assert engine.free == 0
    assert answers(engine.wait(1.0))["a"]["said"] == 1
    assert engine.free == 1
    assert engine.close() == []
