"""Recorder: what one MLflow run is told, gathered and sent by a thread of its own."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from mu.tracking.store import Store, reason

FLUSH_SECONDS = 2.0
BATCH = 1000


class Recorder:
    """Writes to one MLflow run.

    What is logged is gathered and sent every two seconds by a thread of its own, so that a slow
    store never holds up the training, nor lengthens a time that is measured; while the store
    fails it is kept, and the work goes on.

    Parameters
    ----------
    store, run_id
        Where, and to which run.
    folder
        A scratch folder; everything in it becomes the run's artifacts when the run ends well.
    """

    def __init__(self, store: Store, run_id: str, folder: Path) -> None:
        self.store = store
        self.run_id = run_id
        self.folder = folder
        self._waiting: list[Metric | Param | RunTag] = []
        self._present: set[str] | None = None  # parameters that MLflow's launcher has logged
        self._known: set[tuple[str, int]] = set()  # numbers that a resumed run has logged before
        self._warned: set[str] = set()
        self._ended = threading.Event()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._send_regularly, daemon=True)
        self._thread.start()

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, rounded; fits :class:`mu.Run`'s sink."""
        now = int(time.time() * 1000)
        self._waiting += [
            Metric(name, rounded(value), now, step or 0)
            for name, value in values.items()
            if (name, step or 0) not in self._known
        ]

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, except those that MLflow's launcher has logged already."""
        self._waiting += [
            Param(name, "none" if value is None else str(value)) for name, value in values.items()
        ]

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._waiting += [RunTag(name, value) for name, value in values.items()]

    def describe(self, text: str) -> None:
        """Set the description on the run's page; Markdown."""
        self.tags({"mlflow.note.content": text})

    def put(self, path: str, content: bytes) -> None:
        """Put a file among the run's artifacts at once; raises what goes wrong."""
        with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
            file = Path(scratch) / Path(path).name
            file.write_bytes(content)
            self.store.client.log_artifact(self.run_id, str(file), str(Path(path).parent))

    def finish(self) -> None:
        """Send what is waiting and upload the folder; raises what goes wrong."""
        self.send()
        self.store.client.log_artifacts(self.run_id, str(self.folder))

    def send(self) -> None:
        """Send what is waiting; raises what goes wrong."""
        self.close()
        with self._sending:
            self._send()

    def close(self) -> None:
        """Stop sending regularly."""
        self._ended.set()

    def _send_regularly(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            with self._sending:
                if self._ended.is_set():
                    return
                try:
                    self._send()
                except Exception as error:
                    self.warn("numbers wait to be logged", error)

    def _send(self) -> None:
        while batch := self._waiting[:BATCH]:
            params = {one.key: one for one in batch if isinstance(one, Param)}
            if params and self._present is None:
                self._present = set(self.store.client.get_run(self.run_id).data.params)
            self.store.client.log_batch(
                self.run_id,
                metrics=[one for one in batch if isinstance(one, Metric)],
                params=[one for name, one in params.items() if name not in (self._present or ())],
                tags=list({one.key: one for one in batch if isinstance(one, RunTag)}.values()),
            )
            del self._waiting[: len(batch)]
            if self._present is not None:
                self._present |= params.keys()

    def warn(self, what: str, error: Exception) -> None:
        """Say once that something of less weight than the work itself has failed, and why."""
        if what not in self._warned:
            why = reason(self.store.uri, error)
            print(f"warning: {what}: {why}", file=sys.stderr, flush=True)
            self._warned.add(what)

    def know_history(self) -> None:
        """Learn which numbers the run has logged already, so that none is logged twice."""
        client = self.store.client
        for name in client.get_run(self.run_id).data.metrics:
            history = client.get_metric_history(self.run_id, name)
            self._known |= {(name, one.step) for one in history}


def rounded(value: float) -> float:
    """Three digits after the point, and four significant ones below 1: what a table can show."""
    value = float(value)
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.4g}")
