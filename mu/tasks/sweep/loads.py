"""What a process of a sweep loads once, however many tasks it performs: data, originals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from mu.cli.requests import DataOptions, DeviceOptions
from mu.data.forget import ForgetRequest
from mu.data.images import ImageDataset
from mu.tasks.problem import TrainTask, UnlearningProblem
from mu.tasks.prune import task_on, task_under_mask
from mu.tasks.resolve import forget_split, load_requested
from mu.tracking import Store, fetch_checkpoint


def order_for(
    given: Mapping[str, Any], device: DeviceOptions, store: Callable[[], Store]
) -> TrainTask:
    """The original that a task is about.

    Parameters
    ----------
    given
        Settings by the names of ``prune``, ``mask_run_id`` among them.
    store
        Opens the store; called only where a mask is to be fetched.
    """
    settings = {name: value for name, value in given.items() if name != "mask_run_id"}
    if run_id := given.get("mask_run_id"):
        return task_under_mask(store(), run_id, settings, device)
    rest = {name: value for name, value in settings.items() if name not in DataOptions.names()}
    return task_on(dataset_for(settings), rest, device)


def dataset_for(given: Mapping[str, Any]) -> ImageDataset:
    """The data that was asked for; what else is given does not matter."""
    asked = {name: value for name, value in given.items() if name in DataOptions.names()}
    return _dataset(json.dumps(asked, sort_keys=True))


@lru_cache(maxsize=1)
def _dataset(asked: str) -> ImageDataset:
    return load_requested(json.loads(asked))[0]


def upstream_for(
    store: Store,
    run_id: str,
    forget: str,
    data: Mapping[str, Any],
    device: Mapping[str, Any],
) -> UnlearningProblem:
    """A finished original and what is to be forgotten of it.

    Parameters
    ----------
    data, device
        What was given of these.
    """
    return _upstream(store, run_id, forget, json.dumps(data), json.dumps(device))


@lru_cache(maxsize=1)  # as cells of one original and forget set follow each other
def _upstream(store: Store, run_id: str, forget: str, data: str, device: str) -> UnlearningProblem:
    checkpoint = fetch_checkpoint(store, run_id)
    dataset = checkpoint.spec.data.bind(dataset_for(json.loads(data)))
    split = forget_split(checkpoint.spec, dataset, ForgetRequest.parse(forget))
    return UnlearningProblem(
        run_id, checkpoint, dataset, split, forget, DeviceOptions.of(json.loads(device))
    )
