"""The engine ``processes``: worker processes of this machine, each with one task at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any

from mu.tasks.sweep.engines import PATIENCE, Answer, Engine, Perform, WorkerDiedError

Environment = Mapping[str, str]


class Processes(Engine):
    """Starts a worker when there is a task for it, and uses it again; replaces one that died.

    Workers import ``perform``. Each has variables of its environment in addition to this process's.
    """

    def __init__(self, perform: Perform, environments: Sequence[Environment]) -> None:
        super().__init__(perform)
        self.jobs = len(environments)
        self._workers = [_Worker(environment) for environment in environments]

    def submit(self, job: Any) -> Answer:
        """Give a task to a worker that has none, to one that runs already where there is one."""
        idle = [one for one in self._workers if one.answer is None]
        worker = next((one for one in idle if one.pool), idle[0])
        try:
            worker.answer = worker.started().submit(self._perform, job)
        except BrokenProcessPool:  # it died while it had nothing to do
            worker.end()
            worker.answer = worker.started().submit(self._perform, job)
        return worker.answer

    def result(self, answer: Answer) -> dict[str, Any]:
        """The answer of a worker, which is free from now on, or gone."""
        worker = next(one for one in self._workers if one.answer is answer)
        worker.answer = None
        try:
            return answer.result()
        except BrokenProcessPool:
            raise WorkerDiedError(f"its worker {worker.end()}") from None

    def close(self) -> None:
        """End all workers, and wait until they are gone."""
        busy = {one.answer: one for one in self._workers if one.answer is not None}
        for worker in busy.values():
            worker.process.terminate()
        for answer in wait(busy, PATIENCE).not_done:
            busy[answer].process.kill()
        for worker in self._workers:
            worker.end()


class _Worker:
    """A process in a pool of its own: one that dies breaks its pool, with all that are in it."""

    process: BaseProcess

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.pool: ProcessPoolExecutor | None = None
        self.answer: Answer | None = None

    def started(self) -> ProcessPoolExecutor:
        """The pool, whose process runs."""
        if self.pool is None:
            # Not forked from this process: it may have threads, whose locks would be copied.
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(1, context, _begin, (self._environment,))
            before = multiprocessing.active_children()
            self.pool.submit(os.getpid)  # starts the process
            (self.process,) = set(multiprocessing.active_children()) - set(before)
        return self.pool

    def end(self) -> str:
        """Wait until the process has ended; how, in words."""
        if self.pool is None:
            return "was not started"
        self.pool.shutdown()
        self.pool = None
        status = self.process.exitcode or 0
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"


def _begin(environment: Environment) -> None:
    """Prepare a worker's process, before torch is loaded."""
    os.environ.update(environment)
    os.environ.pop("MLFLOW_RUN_ID", None)  # of the sweep
    # A terminal's Ctrl-C comes to all its processes; it is the sweep that ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave no process behind, however the parent ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(128 + signal.SIGTERM)
