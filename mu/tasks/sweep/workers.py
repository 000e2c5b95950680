"""How many workers a sweep has on a CPU where that is not given: a core each, if memory allows.

Many trainings with one thread each use the cores better than one training with all of them
(``python -m benchmarks.sweeps``), and with one thread the same seed gives the same bits however
many workers there are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mu import memory
from mu.cli.requests import DeviceOptions
from mu.distributed.place import usable_cores
from mu.runs import Run
from mu.tasks.sweep.plan import Plan, PlannedOriginal, load_once
from mu.training.loop import train

CPU = torch.device("cpu")
MORE = 1.5  # times what a step of training takes: methods hold further networks and gradients


def jobs_on_cpu(plan: Plan, device: DeviceOptions) -> tuple[int, str]:
    """How many workers, at least one; and in words why they are fewer than the cores, if they are.

    What a worker needs is measured: a step of each kind of original in this process.
    """
    cores = max(1, usable_cores() // (device.devices * (device.threads or 1)))
    if cores == 1:
        return 1, ""
    needed = MORE * device.devices * max(step_mb(one, device) for one in kinds_of(plan))
    free = memory.free_bytes(CPU) / 2**20
    jobs = max(1, min(cores, int(free / needed)))
    if jobs == cores:
        return jobs, ""
    return jobs, (
        f"jobs={jobs}: a worker needs about {needed:,.0f} MiB, and {free:,.0f} MiB are free; "
        f"there are {cores} cores, give jobs for more"
    )


def kinds_of(plan: Plan) -> list[PlannedOriginal]:
    """An original of each network, data set and size of batches."""
    found: dict[object, PlannedOriginal] = {}
    for one in (task.original for task in plan):
        recipe = one.spec.recipe
        found.setdefault((recipe.model, recipe.training.batch_size, one.data), one)
    return list(found.values())


def step_mb(original: PlannedOriginal, device: DeviceOptions) -> float:
    """Peak memory, MiB, of a process like this one that trains the network for a step."""
    alone = {"devices": 1, "threads": device.threads or 1}
    run = Run(**{**device.as_dict(), **alone}, show_progress=False)
    recipe, dataset = original.spec.recipe, load_once(original.data)
    training = replace(recipe.training, epochs=1, warmup=0)
    batch = dataset.training_subset(np.arange(min(training.batch_size, len(dataset.train))))
    memory.reset_peak(CPU)
    train(recipe.model.build(recipe.seed), batch, training, run)
    return memory.peak_mb(CPU)
