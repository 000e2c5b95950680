"""A schedule under failures and deaths of workers: nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.tasks.sweep import schedule as module
from mu.tasks.sweep.engines import Answer, WorkerDiedError
from mu.tasks.sweep.plan import Plan, Task
from mu.tasks.sweep.schedule import DEATHS, DONE, FAILED, WAITING, Schedule, drive
from tests.helpers import laws
from tests.sweep.plans import small_plan

FATES = ("well", "fails", "dies", "dies after its work")


class World:
    """An engine whose tasks end in the order and the way that the example says, and a store."""

    def __init__(
        self, plan: Plan, jobs: int, data: st.DataObject | None = None, finished: Any = ()
    ) -> None:
        self.plan, self.jobs, self.data = plan, jobs, data
        self.finished: Counter[str] = Counter(finished)
        self.running: dict[Answer, str] = {}
        self.fates: Counter[tuple[str, str]] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self.order: list[str] = []
        self.most = 0

    def run(self, retries: int = 0) -> Schedule:
        schedule = Schedule(self.plan, retries)

        def job(task: Task) -> dict[str, str]:
            assert all(self.finished[need] and need in schedule.results for need in task.needs)
            return {"key": task.key}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "wait", self.wait)
            drive(schedule, self, self.find, job, self.changed)
        assert self.running == {}
        assert self.most <= self.jobs
        return schedule

    def find(self, task: Task) -> Mapping[str, Any] | None:
        return {"run_id": task.key} if self.finished[task.key] else None

    def changed(self, task: Task, what: str, about: Mapping[str, Any]) -> None:
        self.events[task.key, what] += 1

    # --- the engine -----------------------------------------------------------------------

    def submit(self, job: Mapping[str, str]) -> Answer:
        assert job["key"] not in self.running.values()
        answer: Answer = Future()
        self.running[answer] = job["key"]
        self.order.append(job["key"])
        self.most = max(self.most, len(self.running))
        return answer

    def wait(self, answers: Sequence[Answer], return_when: str) -> Any:
        """As that of ``concurrent.futures``, but which end first is drawn."""
        ended = list(answers)[:1]
        if self.data is not None:
            some = st.lists(st.sampled_from(list(answers)), min_size=1, unique=True)
            ended = self.data.draw(some)
        return SimpleNamespace(done=ended)

    def result(self, answer: Answer) -> dict[str, Any]:
        key = self.running.pop(answer)
        fate = self.data.draw(st.sampled_from(FATES)) if self.data else "well"
        self.fates[key, fate] += 1
        if fate in ("well", "dies after its work"):
            self.finished[key] += 1
        if fate.startswith("dies"):
            raise WorkerDiedError("its worker died")
        return {"run_id": key} if fate == "well" else {"error": f"{key} failed"}

    def close(self) -> None: ...


@laws(100)
@given(jobs=st.integers(1, 4), retries=st.integers(0, 2), data=st.data())
def test_nothing_is_lost_and_nothing_is_done_twice(
    jobs: int, retries: int, data: st.DataObject
) -> None:
    plan = small_plan(originals=2, forgets=data.draw(st.integers(1, 2)), methods=2)
    before = data.draw(st.lists(st.sampled_from([one.key for one in plan]), unique=True))
    world = World(plan, jobs, data, before)
    schedule = world.run(retries)
    assert max(world.finished.values(), default=0) <= 1  # none is done twice
    for task in plan:
        fails, deaths = world.fates[task.key, "fails"], world.fates[task.key, "dies"]
        deaths += world.fates[task.key, "dies after its work"]
        if schedule.state(task) == DONE:
            assert world.finished[task.key] == 1
            assert schedule.results[task.key]["run_id"] == task.key
            assert world.events[task.key, "done"] + world.events[task.key, "found"] == 1
            assert fails <= retries
        else:
            assert schedule.state(task) == FAILED
            assert task.key in schedule.failures
            lost_needs = [need for need in task.needs if need in schedule.failures]
            # It is given up for a reason, and no earlier.
            assert lost_needs or fails == retries + 1 or deaths == DEATHS
        assert fails <= retries + 1
        assert deaths <= DEATHS
        assert world.events[task.key, "died"] == deaths


def test_without_trouble_all_is_done_in_the_order_of_the_plan() -> None:
    world = World(small_plan(), jobs=1)
    schedule = world.run()
    assert world.order == list(schedule.results) == [task.key for task in world.plan]
    assert schedule.failures == {}


def test_as_many_run_at_a_time_as_there_is_room_for() -> None:
    world = World(small_plan(originals=6), jobs=4)
    world.run()
    assert world.most == 4


def test_what_needs_a_failed_task_is_not_tried() -> None:
    plan = small_plan(originals=2)
    schedule = Schedule(plan, retries=0)
    first, oracle, *_ = plan
    schedule.begin(first)
    assert not schedule.lost(first, "no memory")
    assert schedule.failures["o0"] == "no memory"
    lost = [task for task in plan if "o0" in task.needs]
    assert all(schedule.state(task) == FAILED for task in lost)
    assert schedule.failures[oracle.key] == "not tried, as its original failed"
    found = schedule.next()
    assert found is not None
    assert found.key == "o1"
    assert schedule.state(found) == WAITING


def test_a_failed_task_is_tried_again_at_once_and_so_often() -> None:
    schedule = Schedule(small_plan(), retries=2)
    for again in (True, True, False):
        task = schedule.next()
        assert task is not None
        assert task.key == "o0"
        schedule.begin(task)
        assert schedule.lost(task, "why") is again
