"""The engine that was asked for, and how many tasks it is to perform at a time."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from mu.cli.requests import DeviceOptions, SweepOptions
from mu.errors import UserError
from mu.tasks.sweep.engines.base import Engine
from mu.tasks.sweep.engines.local import Local
from mu.tasks.sweep.engines.processes import Processes
from mu.tasks.sweep.perform import perform, perform_in_worker


def check_engine(engine: str) -> None:
    """Refuse an engine that is not there.

    Raises
    ------
    UserError
        If Ray is asked for, and not installed.
    """
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError(
            'engine=ray: Ray is not installed; pip install "mu-unlearning[ray]", or give '
            "engine=processes"
        )


def open_engine(options: SweepOptions, device: Mapping[str, Any]) -> tuple[Engine, int]:
    """Start the engine; how many tasks it performs at a time.

    Raises
    ------
    UserError
        If the Ray cluster does not answer.
    """
    if options.engine == "local":
        return Local(perform), 1
    if options.engine == "ray":
        from mu.tasks.sweep.engines.ray import Ray

        gpus = 0 if device.get("device") == "cpu" else int(device.get("devices", 1))
        ray = Ray(perform_in_worker, options.jobs, options.ray_address, gpus)
        return ray, ray.jobs
    environments = _environments(options.jobs, DeviceOptions.of(device))
    return Processes(perform_in_worker, environments), len(environments)


def _environments(jobs: int | None, device: DeviceOptions) -> list[dict[str, str]]:
    """Variables for each worker: its part of the cores, and a GPU of its own if possible."""
    gpus = _gpus(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = jobs or len(gpus) or cores or 1
    threads = {"OMP_NUM_THREADS": str(max(1, (cores or 1) // count))}
    if "OMP_NUM_THREADS" in os.environ:
        threads = {}
    return [
        {**threads, **({"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {})}
        for place in range(count)
    ]


def _gpus(device: DeviceOptions) -> list[str]:
    """The GPUs of this machine that workers share out, as CUDA names them."""
    import torch

    if device.device not in ("auto", "cuda") or device.devices > 1:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(n) for n in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]
