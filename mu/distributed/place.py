"""Which process this is of those that a launcher started; known before torch is loaded."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

CLOCK_SECONDS = 10  # by which the start of a process may seem to move when the clock is set


class Place(NamedTuple):
    """A process's place among those of the launcher, and among those on its machine."""

    rank: int = 0  # from 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that tracks, writes and prints."""
        return self.rank == 0

    @property
    def one_machine(self) -> bool:
        """Whether all of them are on this machine."""
        return self.size == self.local_size

    def __str__(self) -> str:
        return f"process {self.rank + 1} of {self.size}"


def place() -> Place:
    """The place that torch's launcher gave this process; alone where none did."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not {*names} <= os.environ.keys():
        return Place()
    return Place(*(int(os.environ[name]) for name in names))


def be_silent() -> None:
    """Print nothing from here on, but the traceback of a defect.

    The standard streams themselves are closed to everything, since libraries write to them, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    errors = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    where = str(place())

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lines = traceback.format_exception(kind, error, trace)
        errors.write(f"{where}:\n{''.join(lines)}")

    sys.excepthook = show


def is_running(pid: int, started: float) -> bool:
    """Whether a process of this machine, which began at that time (s since 1970), is there still.

    A process number is used again; the time of its start tells them apart.
    """
    import psutil  # not every command needs it

    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < CLOCK_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # of another user, so there is one
        return True


def usable_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: its affinity, and what its container is given of them."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with suppress(OSError, ValueError):  # no container, or one without a limit
        given, period = map(int, limit.read_text().split())  # microseconds
        count = min(count or 1, max(1, given // period))
    return count or 1


def shares(
    count: int | None, device: str, devices: int, threads: int | None = None
) -> list[dict[str, str]]:
    """Environments for so many workers: a share of the cores each, and a GPU if possible.

    Without ``count`` there is a worker for each GPU, or else for each core. ``device`` and
    ``devices``: see :class:`mu.cli.requests.DeviceOptions`; GPUs are shared where a worker takes
    one. ``threads``: of a worker's large networks, by default its share of the cores.
    """
    gpus = _gpus() if device in ("auto", "cuda") and devices == 1 else []
    cores = usable_cores()
    count = count or len(gpus) or cores
    known = "OMP_NUM_THREADS" in os.environ
    omp = {} if known else {"OMP_NUM_THREADS": str(threads or max(1, cores // count))}
    return [
        {**omp, **({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})}
        for number in range(count)
    ]


def _gpus() -> list[str]:
    from torch.cuda import device_count  # not before a worker's variables are set

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (visible.split(",") if visible else [*map(str, range(device_count()))])[: device_count()]
