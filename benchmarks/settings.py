"""What several benchmarks share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from entrypoints import prune, unlearn
from mu.tracking import connect, find_original, same_value

# Images of 32x32 on two cores: few enough for minutes, and long enough that originals fit their
# training data, without which forgetting is easy and its measurement means nothing.
CIFAR_SETTINGS: dict[str, Any] = {
    "arch": "resnet14",
    "train_size": 2000,
    "epochs": 30,
    "schedule": "one_cycle",
    "lr": 0.2,
    "batch_size": 128,
    "augment": "none",
}


def settings_of(dataset: str) -> dict[str, Any]:
    """How originals are made of a data set; the digits by their own defaults."""
    return {} if dataset == "digits" else CIFAR_SETTINGS


def find_or_make_original(asked: Mapping[str, object], data_dir: str) -> str:
    """The run ID of the original with these settings."""
    found = find_original(connect(), asked)
    if found is None:
        run_entry(prune, {**asked, "data_dir": data_dir})
        found = find_original(connect(), asked)
    assert found is not None
    return str(found.info.run_id)


class Unlearned(NamedTuple):
    """A finished run of ``unlearn``."""

    run_id: str
    metrics: Mapping[str, float]


def find_or_make_unlearned(original: str, **asked: object) -> Unlearned:
    """The finished run of ``unlearn`` from that original with these parameters."""
    query = (
        f"tags.`mu.upstream` = '{original}' and tags.`mu.entry` = 'unlearn' and "
        "attributes.status = 'FINISHED'"
    )
    for _ in range(2):
        for run in connect().search(query):
            if all(same_value(run.data.params.get(name), value) for name, value in asked.items()):
                return Unlearned(run.info.run_id, run.data.metrics)
        run_entry(unlearn, {**asked, "prune_run_id": original, "oracle_run_id": "train"})
    raise RuntimeError(f"no run came of {asked}")


def run_entry(entry: ModuleType, settings: Mapping[str, object]) -> None:
    """Run an entry point in this process, its output left out of the table."""
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    with contextlib.redirect_stdout(sys.stderr):
        entry.build(arguments).main(arguments, standalone_mode=False)
