"""What a run that was never interrupted holds, to compare interrupted ones with."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun

from mu.tracking import Store
from mu.tracking.resuming import RunCheckpointer
from mu.training.progress import Progress
from tests.processes import PATIENCE
from tests.test_main_job import files

FINGERPRINTS = ("mu.weights", "mu.mask", "mu.spec", "mu.data", "mu.forget", "mu.upstream")
COSTS = ("train_s", "RTE", "speedup", "peak_memory_mb")  # differ from one process to the next


@dataclass(frozen=True)
class Whole:
    """A run's parameters, numbers over time, files, and final metrics without costs."""

    run: MlflowRun
    histories: dict[str, list[tuple[int, float]]]
    files: set[str]
    metrics: dict[str, Any]

    @classmethod
    def of(cls, store: Store, run_id: str) -> Self:
        run = store.run(run_id)
        assert run.info.status == "FINISHED"
        kept = set(files(store, run_id))
        return cls(run, histories(store, run_id), kept, numbers(metrics_file(store, run_id)))

    def check(self, store: Store, run_id: str) -> MlflowRun:
        """An interrupted run holds the same, no more often, and nothing of its interruption."""
        run = store.run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.params == self.run.data.params
        for tag in FINGERPRINTS:
            assert run.data.tags.get(tag) == self.run.data.tags.get(tag), tag
        assert "mu.error" not in run.data.tags
        found = histories(store, run_id)
        assert found.keys() == self.histories.keys()
        for name, points in found.items():
            assert set(points) == set(self.histories[name]), name
            assert len(points) <= len(self.histories[name]), name
        assert set(files(store, run_id)) == self.files
        metrics = metrics_file(store, run_id)
        assert all(metrics[name] > 0 for name in ("train_s", "RTE") if name in metrics)
        assert numbers(metrics) == self.metrics
        return run


def keep_at_once(patch: pytest.MonkeyPatch) -> None:
    """Have each epoch's progress kept before the next one trains, so that none is dropped."""
    save = RunCheckpointer.save

    def saved(self: RunCheckpointer, progress: Progress) -> None:
        save(self, progress)
        deadline = time.monotonic() + PATIENCE
        while not self._recorder._outbox.is_empty:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    patch.setattr(RunCheckpointer, "save", saved)


def histories(store: Store, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every number that was ever logged; costs as often as they were."""
    found = {}
    for name in store.run(run_id).data.metrics:
        points = store.client.get_metric_history(run_id, name)
        found[name] = sorted((one.step, 0.0 if name in COSTS else one.value) for one in points)
    return found


def metrics_file(store: Store, run_id: str) -> dict[str, float]:
    path = download_artifacts(run_id=run_id, artifact_path="metrics.json", tracking_uri=store.uri)
    found: dict[str, float] = json.loads(Path(path).read_text())
    return found


def numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All but the costs."""
    return {name: value for name, value in metrics.items() if name not in COSTS}
