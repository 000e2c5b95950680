"""How much memory was taken, and how much there is."""

import contextlib
import mmap
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from mu import memory
from mu.memory import free_bytes, peak_mb, reset_peak
from mu.runs import Run

CPU = torch.device("cpu")
MIB = 2**20


def can_reset():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def take(mebibytes):
    """Have that much memory for a moment: straight from the system, and given back to it."""
    with mmap.mmap(-1, mebibytes * MIB) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1


def test_the_peak_grows_by_what_was_taken_and_stays():
    reset_peak(CPU)
    before = peak_mb(CPU)
    take(200)
    after = peak_mb(CPU)
    assert 190 < after - before < 260
    assert peak_mb(CPU) >= after


@pytest.mark.skipif(not can_reset(), reason="this system lets no process reset its peak")
def test_a_reset_forgets_the_peak():
    take(200)
    high = peak_mb(CPU)
    reset_peak(CPU)
    assert peak_mb(CPU) < high - 150
    run = Run(device="cpu")
    with run.stopwatch():
        take(20)
    assert run.peak_memory_mb() < high - 150


def test_where_nothing_can_be_reset_it_counts_from_the_start(monkeypatch):
    monkeypatch.setattr(memory, "Path", lambda _path: Path("/nowhere/at/all"))
    reset_peak(CPU)
    rss = psutil.Process().memory_info().rss / MIB
    assert peak_mb(CPU) > 0.5 * rss


@pytest.mark.parametrize(("system", "unit"), [("linux", 2**10), ("darwin", 1)])
def test_systems_without_proc_count_in_units_of_their_own(system, unit, monkeypatch):
    usage = SimpleNamespace(ru_maxrss=300 * MIB // unit)
    monkeypatch.setattr(memory, "Path", lambda _path: Path("/nowhere/at/all"))
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(memory.resource, "getrusage", lambda _who: usage)
    assert peak_mb(CPU) == 300


# --- what is free -------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 1,000 MiB to take; its container's files are to be written."""
    available = SimpleNamespace(available=1000 * MIB)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: available)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)

    def write(limit, used):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")

    return write


def test_without_a_container_it_is_the_machines(machine):
    assert free_bytes(CPU) == 1000 * MIB


def test_a_container_without_a_limit_sets_none(machine):
    machine("max", 5 * MIB)
    assert free_bytes(CPU) == 1000 * MIB


@pytest.mark.parametrize(
    ("limit", "used", "free"), [(700, 100, 600), (4000, 100, 1000), (100, 100, 0), (100, 120, 0)]
)
def test_a_container_has_what_it_has_not_used_of_its_limit(machine, limit, used, free):
    machine(limit * MIB, used * MIB)
    assert free_bytes(CPU) == free * MIB


def test_files_that_hold_no_numbers_set_no_limit(machine):
    machine("", "many")
    assert free_bytes(CPU) == 1000 * MIB


def test_of_this_machine_something_is_free():
    assert 0 < free_bytes(CPU) <= psutil.virtual_memory().total
