"""The engine ``processes``: worker processes of this machine, each with one task at a time."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from mu.tasks.sweep.engines.base import Died, Document, Ended, Perform, Seat
from mu.tasks.sweep.engines.worker import serve

PATIENCE = 30.0  # seconds that workers have to end their runs, once they are told to


@dataclass
class _Worker:
    """A process, our end of its pipe, which place it has, and the task that it is at."""

    process: SpawnProcess
    pipe: Connection
    place: int
    key: str | None = None

    @property
    def seat(self) -> Seat:
        assert self.process.pid is not None
        return Seat(socket.gethostname(), self.process.pid)


class Processes:
    """Starts a worker when there is a task for it, and uses it again; replaces one that died.

    Parameters
    ----------
    perform
        A function of a module: workers import it.
    environments
        Variables that a worker of each place has beside this process's own; as many as there are
        to be workers.
    """

    def __init__(self, perform: Perform, environments: Sequence[Mapping[str, str]]) -> None:
        self._perform, self._environments = perform, environments
        self._workers: list[_Worker] = []

    @property
    def free(self) -> int:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        return len(self._environments) - len(self._busy)

    @property
    def _busy(self) -> list[_Worker]:
        return [one for one in self._workers if one.key is not None]

    def submit(self, key: str, document: Document) -> None:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        content = json.dumps(document).encode()
        for worker in [one for one in self._workers if one.key is None]:
            try:
                worker.pipe.send_bytes(content)
            except OSError:  # it died while it had nothing to do
                self._forget(worker)
                continue
            worker.key = key
            return
        worker = self._start()
        worker.key = key
        # If it dies at once, waiting for it says so.
        with contextlib.suppress(OSError):
            worker.pipe.send_bytes(content)

    def wait(self, seconds: float) -> Sequence[Ended | Died]:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        busy = {one.pipe: one for one in self._busy}
        events: list[Ended | Died] = []
        # A pipe is ready, too, when the process at its other end has died.
        for pipe in wait(list(busy), seconds):
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            key, worker.key = worker.key, None
            assert key is not None
            try:
                events.append(Ended(key, json.loads(pipe.recv_bytes())))
            except (EOFError, OSError):
                events.append(Died(key, worker.seat, self._forget(worker)))
        return events

    def close(self) -> Sequence[Seat]:
        """See :class:`~mu.sweep.engines.base.Engine`."""
        for worker in self._workers:
            worker.process.terminate()
            worker.pipe.close()  # one that has missed the signal ends with its task
        end = time.monotonic() + PATIENCE
        killed = []
        for worker in self._workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            if worker.key is not None:
                killed.append(worker.seat)
        self._workers = []
        return killed

    def _start(self) -> _Worker:
        place = min(set(range(len(self._environments))) - {one.place for one in self._workers})
        ours, theirs = multiprocessing.Pipe()
        # Not forked from this process: it may have threads, whose locks would be copied.
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=serve, args=(theirs, self._perform), daemon=False)
        with _environment(self._environments[place]):
            process.start()
        theirs.close()  # so that our end says when the process has died
        worker = _Worker(process, ours, place)
        self._workers.append(worker)
        return worker

    def _forget(self, worker: _Worker) -> str:
        """Remove a worker that died; how it ended, in words."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join(PATIENCE)
        if worker.process.is_alive():  # it closed its pipe, and does nothing any more
            worker.process.kill()
            worker.process.join()
        status = worker.process.exitcode or 0
        if status >= 0:
            return f"its worker ended with status {status}"
        name = signal.Signals(-status).name
        return f"its worker was ended by {name}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables for a process that is started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
