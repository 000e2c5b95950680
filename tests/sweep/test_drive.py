"""A schedule under failures and deaths of workers: nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mu.sweep.drive import drive
from mu.sweep.engines.base import Died, Document, Ended, Seat
from mu.sweep.plan import Plan, Task
from mu.sweep.schedule import DEATHS, DONE, FAILED, WAITING, Schedule

from tests.helpers import laws
from tests.sweep.plans import small_plan

FATES = ("well", "fails", "dies", "dies after its work")


class Store:
    """What is finished, as a tracking store would know it."""

    def __init__(self, finished: Sequence[str] = ()) -> None:
        self.finished: Counter[str] = Counter(finished)


class FakeEngine:
    """Ends tasks in the order and the way that the example says."""

    def __init__(self, jobs: int, store: Store, data: st.DataObject | None = None) -> None:
        self.jobs, self.store, self.data = jobs, store, data
        self.running: list[str] = []
        self.fates: Counter[tuple[str, str]] = Counter()
        self.most = 0

    @property
    def free(self) -> int:
        return self.jobs - len(self.running)

    def submit(self, key: str, document: Document) -> None:
        assert self.free > 0
        assert key not in self.running
        assert document["needs_done"]
        self.running.append(key)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> Sequence[Ended | Died]:
        place, fate = 0, "well"
        if self.data is not None:
            place = self.data.draw(st.integers(0, len(self.running) - 1))
            fate = self.data.draw(st.sampled_from(FATES))
        key = self.running.pop(place)
        self.fates[key, fate] += 1
        if fate in ("well", "dies after its work"):
            self.store.finished[key] += 1
        if fate == "well":
            return [Ended(key, {"run_id": key})]
        if fate == "fails":
            return [Ended(key, {"error": f"{key} failed"})]
        return [Died(key, Seat("here", 7), "its worker died")]

    def close(self) -> Sequence[Seat]:
        return []


class FakeWork:
    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self.heard: Counter[tuple[str, str]] = Counter()
        self.lost_seats: list[Seat | None] = []

    def find(self, task: Task, results: Mapping[str, Document]) -> Document | None:
        assert all(need in results for need in task.needs)
        return {"run_id": task.key} if self.store.finished[task.key] else None

    def document(self, task: Task, results: Mapping[str, Document]) -> Document:
        done = all(self.store.finished[need] for need in task.needs)
        return {"needs_done": done and all(need in results for need in task.needs)}

    def lost(self, seat: Seat | None, how: str) -> None:
        self.lost_seats.append(seat)

    def changed(self, task: Task, what: str, about: Mapping[str, Any]) -> None:
        self.heard[task.key, what] += 1

    def passed(self) -> None: ...


@laws(150)
@given(jobs=st.integers(1, 4), retries=st.integers(0, 2), data=st.data())
def test_nothing_is_lost_and_nothing_is_done_twice(
    jobs: int, retries: int, data: st.DataObject
) -> None:
    plan = small_plan(originals=2, forgets=data.draw(st.integers(1, 2)), methods=2)
    before = data.draw(st.lists(st.sampled_from([one.key for one in plan.tasks]), unique=True))
    store = Store(before)
    engine, work, schedule = FakeEngine(jobs, store, data), FakeWork(store, plan), None
    schedule = Schedule(plan, retries)
    drive(schedule, engine, work)
    assert schedule.is_over()
    assert engine.running == []
    assert engine.most <= jobs
    assert max(store.finished.values(), default=0) <= 1  # none is done twice
    for task in plan.tasks:
        fails, deaths = engine.fates[task.key, "fails"], engine.fates[task.key, "dies"]
        late = engine.fates[task.key, "dies after its work"]
        if schedule.state(task.key) == DONE:
            assert store.finished[task.key] == 1
            assert schedule.results[task.key]["run_id"] == task.key
            assert work.heard[task.key, "done"] + work.heard[task.key, "found"] == 1
            assert fails <= retries
        else:
            assert schedule.state(task.key) == FAILED
            assert task.key in schedule.failures
            lost_needs = [need for need in task.needs if schedule.state(need) == FAILED]
            # It is given up for a reason, and no earlier.
            assert lost_needs or fails == retries + 1 or deaths + late == DEATHS
        assert fails <= retries + 1
        assert deaths + late <= DEATHS
    died = sum(n for (_, fate), n in engine.fates.items() if fate.startswith("dies"))
    assert work.lost_seats == [Seat("here", 7)] * died


def test_without_trouble_all_is_done_in_the_order_of_the_plan() -> None:
    plan, store = small_plan(), Store()
    work, schedule = FakeWork(store, plan), Schedule(plan, 0)
    drive(schedule, FakeEngine(1, store), work)
    assert list(schedule.results) == [task.key for task in plan.tasks]
    assert schedule.failures == {}


def test_as_many_run_at_a_time_as_there_is_room_for() -> None:
    plan, store = small_plan(originals=6), Store()
    engine = FakeEngine(4, store)
    drive(Schedule(plan, 0), engine, FakeWork(store, plan))
    assert engine.most == 4


def test_what_needs_a_failed_task_is_not_tried() -> None:
    plan = small_plan(originals=2)
    schedule = Schedule(plan, retries=0)
    schedule.begin("o0")
    assert not schedule.failed("o0", "no memory")
    assert schedule.failures["o0"] == "no memory"
    lost = [task for task in plan.tasks if "o0" in task.needs]
    assert all(schedule.state(task.key) == FAILED for task in lost)
    assert "not tried" in schedule.failures[lost[0].key]
    assert schedule.state("o1") == WAITING
    found = schedule.next()
    assert found is not None
    assert found.key == "o1"


def test_a_failed_task_is_tried_again_at_once_and_so_often() -> None:
    schedule = Schedule(small_plan(), retries=2)
    for again in (True, True, False):
        task = schedule.next()
        assert task is not None
        assert task.key == "o0"
        schedule.begin("o0")
        assert schedule.failed("o0", "why") is again


def test_a_task_that_is_done_cannot_begin_again() -> None:
    schedule = Schedule(small_plan(), retries=1)
    schedule.begin("o0")
    with pytest.raises(ValueError, match="is running"):
        schedule.begin("o0")
    schedule.done("o0", {})
    for step in (
        schedule.begin,
        lambda key: schedule.failed(key, ""),
        lambda key: schedule.done(key, {}),
    ):
        with pytest.raises(ValueError, match="is done"):
            step("o0")


def test_counts_say_how_many_of_each_kind_are_in_which_state() -> None:
    schedule = Schedule(small_plan(), retries=0)
    schedule.begin("o0")
    schedule.done("o0", {})
    schedule.begin("o1")
    assert schedule.counts()["original"] == {"done": 1, "running": 1}
    assert schedule.counts()["cell"] == {"waiting": 4}
