"""The engine ``ray``: workers of a Ray cluster, of this machine alone or of many."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import RayError

from mu.errors import UserError
from mu.tasks.sweep.engines.base import Died, Document, Ended, Perform, Seat

PATIENCE = 30.0  # seconds that workers have to end their runs, once they are told to
_PROJECT = Path(__file__).parents[3]
_PACKAGES = ("mu", "entrypoints")


class _Worker:
    """What runs in a worker's process: one task at a time, in its main thread."""

    def __init__(self, perform: Perform, folder: str | None) -> None:
        self._perform = perform
        if folder is not None:  # paths that are not absolute mean the same there
            os.chdir(folder)

    def seat(self) -> tuple[str, int]:
        """Machine and process."""
        return socket.gethostname(), os.getpid()

    def perform(self, document: Mapping[str, Any]) -> Document:
        """Perform a task."""
        return self._perform(document)


@dataclass
class _Place:
    """A worker, who it is once it has said so, and the task that it is at."""

    actor: Any
    saying: Any
    seat: Seat | None = None
    key: str | None = None
    answer: Any = None

    def ask(self, seconds: float) -> None:
        """Learn who it is, if it says so within the time."""
        with contextlib.suppress(RayError):
            if self.seat is None and ray.wait([self.saying], timeout=seconds)[0]:
                self.seat = Seat(*ray.get(self.saying))


class Ray:
    """Starts a worker (a Ray actor) when there is a task for it; replaces one that died.

    Parameters
    ----------
    perform
        A function of a module: workers import it.
    jobs
        How many workers; None for one for each GPU of the cluster, or else for each core.
    address
        Of the cluster; None starts one on this machine, which ends with the sweep.
    gpus
        That each worker takes, where the cluster has some.

    Raises
    ------
    UserError
        If no cluster answers at the address.
    """

    def __init__(self, perform: Perform, jobs: int | None, address: str | None, gpus: int) -> None:
        self._perform, self._local = perform, address is None
        with _own_signals():
            _connect(jobs, address)
        resources = ray.cluster_resources()
        gpus = gpus if resources.get("GPU", 0) else 0
        most = resources["GPU"] / gpus if gpus else resources.get("CPU", 1)
        self.jobs = jobs or max(1, int(most))
        self._actor: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(_Worker)
        self._places: list[_Place] = []
        self._listener = ThreadPoolExecutor(1)

    @property
    def free(self) -> int:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        return self.jobs - sum(one.key is not None for one in self._places)

    def submit(self, key: str, document: Document) -> None:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        idle = [one for one in self._places if one.key is None]
        place = idle[0] if idle else self._start()
        place.key, place.answer = key, place.actor.perform.remote(dict(document))

    def wait(self, seconds: float) -> Sequence[Ended | Died]:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        # In another thread: a signal's exception is lost inside Ray, but not while this one waits.
        return self._listener.submit(self._listen, seconds).result()

    def _listen(self, seconds: float) -> Sequence[Ended | Died]:
        busy = {one.answer: one for one in self._places if one.key is not None}
        for place in busy.values():
            place.ask(0)
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=seconds)
        return [self._event(busy[answer]) for answer in ready]

    def close(self) -> Sequence[Seat]:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        self._listener.shutdown()
        busy = [one for one in self._places if one.key is not None]
        for place in busy:
            place.ask(PATIENCE)
        _end_gently([one.seat for one in busy if one.seat is not None])
        for place in self._places:
            ray.kill(place.actor)
        self._places = []
        ray.shutdown()
        return [one.seat for one in busy if one.seat is not None]

    def _start(self) -> _Place:
        folder = str(Path.cwd()) if self._local else None
        actor = self._actor.remote(self._perform, folder)
        place = _Place(actor, actor.seat.remote())
        self._places.append(place)
        return place

    def _event(self, place: _Place) -> Ended | Died:
        key, place.key = place.key, None
        assert key is not None
        try:
            return Ended(key, ray.get(place.answer))
        except RayError as error:
            self._places.remove(place)
            ray.kill(place.actor)  # where it is not its process that failed
            line = str(error).strip().splitlines()[0]
            return Died(key, place.seat, f"its worker died ({type(error).__name__}: {line[:200]})")


def _connect(jobs: int | None, address: str | None) -> None:
    """Reach the cluster, or start one; its workers find mu where this process has it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As later versions of Ray do by themselves; without it, it warns.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    plain: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address is None:
            path = {"PYTHONPATH": os.pathsep.join([str(_PROJECT), *_python_path()])}
            threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
            ray.init(
                address="local",
                num_cpus=jobs,
                include_dashboard=False,
                runtime_env={"env_vars": {**path, **threads}},
                **plain,
            )
        else:
            code = [str(_PROJECT / name) for name in _PACKAGES]
            ray.init(address=address, runtime_env={"py_modules": code}, **plain)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"ray_address={address or 'none'}: no cluster answers ({line})") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers: Ray puts one in their place that aborts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _python_path() -> list[str]:
    return [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]


def _end_gently(seats: Sequence[Seat]) -> None:
    """Let workers of this machine close their runs; Ray itself only ever kills."""
    here = [seat.pid for seat in seats if seat.host == socket.gethostname()]
    for pid in here:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and any(psutil.pid_exists(pid) for pid in here):
        time.sleep(0.1)
