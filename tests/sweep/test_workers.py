"""How many workers a sweep has on a CPU: the cores that may be used, as memory allows."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from mu import memory
from mu.cli.requests import DeviceOptions, SweepOptions
from mu.distributed.place import shares, usable_cores
from mu.tasks.sweep import run as sweep_run
from mu.tasks.sweep import workers
from mu.tasks.sweep.plan import PlannedOriginal, make_plan, original_task
from mu.tasks.sweep.workers import MORE, jobs_on_cpu, kinds_of, step_mb
from mu.tracking import connect
from tests.sweep.plans import small_plan

MIB = 2**20
STEP = 200.0  # MiB


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Four cores and memory enough; a step of training takes 200 MiB."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(4)))
    monkeypatch.setattr(workers, "step_mb", lambda _original, _device: STEP)
    monkeypatch.setattr(workers, "kinds_of", lambda plan: [plan[0].original])
    _free(monkeypatch, 1e6)
    return monkeypatch


def _free(monkeypatch: pytest.MonkeyPatch, mib: float) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _device: int(mib * MIB))


def jobs(**device: object) -> tuple[int, str]:
    return jobs_on_cpu(small_plan(), DeviceOptions.of({"device": "cpu", **device}))


@pytest.mark.parametrize(
    ("device", "wanted"),
    [({}, 4), ({"devices": 2}, 2), ({"threads": 2}, 2), ({"threads": 3}, 1), ({"devices": 8}, 1)],
)
def test_there_is_one_for_each_core(
    machine: pytest.MonkeyPatch, device: dict[str, object], wanted: int
) -> None:
    assert jobs(**device) == (wanted, "")


@pytest.mark.parametrize(("room", "wanted"), [(4.0, 4), (3.9, 3), (1.2, 1), (0.2, 1), (0.0, 1)])
def test_there_are_fewer_where_memory_is_short(
    machine: pytest.MonkeyPatch, room: float, wanted: int
) -> None:
    """``room``: for how many there is memory."""
    _free(machine, room * MORE * STEP + 0.01)
    found, why = jobs()
    assert found == wanted
    texts = (f"jobs={wanted}", "300 MiB", "4 cores", f"{room * 300:,.0f} MiB are free")
    assert why == "" if wanted == 4 else all(text in why for text in texts)


@pytest.mark.parametrize(
    ("given", "workers_and_threads"), [(None, (4, "1")), (2, (2, "2")), (1, (1, "4"))]
)
def test_each_has_one_thread_unless_jobs_says_how_many_there_are(
    machine: pytest.MonkeyPatch, given: int | None, workers_and_threads: tuple[int, str]
) -> None:
    places: list[dict[str, str]] = []
    machine.setattr(sweep_run, "Processes", lambda _perform, found: places.extend(found))
    options = SweepOptions(grid="grid.yaml", engine="processes", jobs=given)
    sweep_run.open_engine(options, DeviceOptions(device="cpu"), small_plan())
    number, threads = workers_and_threads
    assert places == [{"OMP_NUM_THREADS": threads}] * number


def test_few_for_want_of_memory_have_one_thread_too(
    machine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So the bits do not depend on what is free."""
    _free(machine, 2 * MORE * STEP + 1)
    places: list[dict[str, str]] = []
    machine.setattr(sweep_run, "Processes", lambda _perform, found: places.extend(found))
    options = SweepOptions(grid="grid.yaml", engine="processes")
    sweep_run.open_engine(options, DeviceOptions(device="cpu"), small_plan())
    assert places == [{"OMP_NUM_THREADS": "1"}] * 2
    assert "jobs=2" in capsys.readouterr().out


def test_omp_num_threads_of_the_user_counts(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("OMP_NUM_THREADS", "3")
    assert shares(2, "cpu", 1, 1) == [{}, {}]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("max 100000", 4), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1),
     ("900000 100000", 4), ("", 4), ("broken", 4)],
)  # fmt: skip
def test_a_container_limits_the_cores(
    machine: pytest.MonkeyPatch, tmp_path: Path, text: str, wanted: int
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == wanted
    assert usable_cores(tmp_path / "none") == 4


# --- what a worker takes ------------------------------------------------------------------


def original(**settings: object) -> PlannedOriginal:
    task = original_task(settings, DeviceOptions(device="cpu"), connect)
    return PlannedOriginal(repr(settings), settings, {}, task.spec(), {})


def test_originals_of_a_kind_are_tried_once() -> None:
    small, again, other = original(seed=0), original(seed=1), original(batch_size=999)
    plan = make_plan([small, again, other], [], [], None)
    assert kinds_of(plan) == [small, other]


def test_a_step_of_training_is_measured() -> None:
    """All of the process counts, since a worker loads as much as it."""
    resident = psutil.Process().memory_info().rss / MIB
    found = step_mb(original(batch_size=64), DeviceOptions(device="cpu"))
    assert 0.9 * resident < found < resident + 1000
