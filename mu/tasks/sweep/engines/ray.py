"""The engine ``ray``: a Ray cluster, of this machine alone or of many."""

from __future__ import annotations

import os
import signal
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from mu.errors import UserError
from mu.tasks.sweep.engines import PATIENCE, Answer, Engine, Perform, WorkerDiedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PROJECT = Path(__file__).parents[4]
_PACKAGES = ("mu", "entrypoints")


class Ray(Engine):
    """Performs each task as a Ray task; Ray starts and replaces workers, which import ``perform``.

    Ray itself repeats no task: a worker may die after its work, so the sweep first looks for the
    run. Without ``jobs`` there is one for each GPU of the cluster, or else for each core; without
    an ``address`` the cluster is one on this machine, which ends with the sweep. Each task takes
    so many ``gpus``, where the cluster has some. UserError if no cluster answers.
    """

    def __init__(self, perform: Perform, jobs: int | None, address: str | None, gpus: int) -> None:
        super().__init__(perform)
        handlers = [(number, signal.getsignal(number)) for number in SIGNALS]
        _connect(jobs, address)
        for number, handler in handlers:  # Ray puts one in their place that aborts
            signal.signal(number, handler)
        resources = ray.cluster_resources()
        gpus = gpus if resources.get("GPU", 0) else 0
        most = resources["GPU"] / gpus if gpus else resources.get("CPU", 1)
        self.jobs = jobs or max(1, int(most))
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_perform_in)
        self._folder = None if address else str(Path.cwd())
        self._running: dict[Answer, Any] = {}

    def submit(self, job: Any) -> Answer:
        """Give a task to Ray."""
        reference = self._task.remote(self._folder, self._perform, dict(job))
        answer: Answer = reference.future()
        self._running[answer] = reference
        return answer

    def result(self, answer: Answer) -> dict[str, Any]:
        """The answer of a worker."""
        del self._running[answer]
        try:
            return answer.result()
        except RayError as error:
            line = str(error).strip().splitlines()[0]
            why = f"its worker died ({type(error).__name__}: {line[:200]})"
            raise WorkerDiedError(why) from error

    def close(self) -> None:
        """End all tasks, on whatever machine, and leave the cluster."""
        for reference in self._running.values():
            ray.cancel(reference)  # raises KeyboardInterrupt in it
        wait(self._running, PATIENCE)
        ray.shutdown()


def _perform_in(folder: str | None, perform: Perform, job: Any) -> dict[str, Any]:
    """What a worker runs; paths that are not absolute mean the same there."""
    if folder is not None:
        os.chdir(folder)
    return perform(job)


def _connect(jobs: int | None, address: str | None) -> None:
    """Connect to the cluster, or start one; its workers find mu where this process has it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As later versions of Ray do by themselves; without it, it warns.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        path = [str(_PROJECT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        variables = {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": threads}
        code: dict[str, Any] = {"env_vars": variables}
        settings: dict[str, Any] = {"num_cpus": jobs, "include_dashboard": False}
    else:
        code, settings = {"py_modules": [str(_PROJECT / name) for name in _PACKAGES]}, {}
    settings |= {"address": address or "local", "runtime_env": code}
    try:
        ray.init(log_to_driver=False, logging_level="error", **settings)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"ray_address={address or 'none'}: no cluster answers ({line})") from error
