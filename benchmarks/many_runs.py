"""A store of many runs, to see how long answers take on it: copies of one finished unlearning.

    MLFLOW_TRACKING_URI=sqlite:////tmp/many/mlflow.db python -m benchmarks.many_runs RUN_ID 500
    MLFLOW_TRACKING_URI=sqlite:////tmp/many/mlflow.db python -m benchmarks.imports

The copies have the run's artifacts except weights and pictures; methods and seeds differ, and their
percentages are shifted by chance, so that nothing can be averaged away. They are no results.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from itertools import cycle
from typing import Any

from mu.tags import ENTRY
from mu.tracking import Store, connect, tracked
from mu.tracking.artifacts import read

METHODS = ("ft", "ga", "ff", "iu", "l1_sparse")
PERCENTAGES = ("UA", "RA", "TA", "MIA")
FILES = ("checkpoint/spec.json", "config.json", "mask/summary.json")


def main() -> None:
    """Copy the run that is named."""
    run_id, number = sys.argv[1], int(sys.argv[2])
    store = connect()
    run = store.run(run_id)
    files = {path: read(store, run, path) for path in FILES}
    for seed, method in zip(range(number), cycle(METHODS), strict=False):
        copy(store, run, files, method, seed)


def copy(store: Store, run: Any, files: Mapping[str, bytes], method: str, seed: int) -> None:
    """One run like ``run``, of another method and seed."""
    chance = random.Random(seed)
    values = {
        name: abs(100 - abs(100 - value - chance.gauss(0, 1))) if name in PERCENTAGES else value
        for name, value in run.data.metrics.items()
    }
    config = {**json.loads(files["config.json"]), "method": method, "seed": seed}
    written = {"config.json": config, "metrics.json": values}
    changed = {path: json.dumps(content).encode() for path, content in written.items()}
    with tracked(store, run.data.tags[ENTRY], f"{method} · class:0 · s{seed}") as recorder:
        recorder.params({**run.data.params, "method": method, "seed": seed})
        recorder.metrics(values)
        recorder.tags({k: v for k, v in run.data.tags.items() if k.startswith("mu.")})
        for path, content in {**files, **changed}.items():
            recorder.put(path, content)


if __name__ == "__main__":
    main()
