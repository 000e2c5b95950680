"""What one MLflow run is told: by the Recorder while it lasts, by :func:`log_to` afterwards."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from mu.errors import UserError
from mu.tags import EVALUATION
from mu.tracking.store import Store, reason

FLUSH_SECONDS = 2.0
BATCH = 1000
MOST = 60_000  # letters of a data set's profile; MLflow takes 65,535 at the least


class Recorder:
    """Writes to one MLflow run.

    What is logged is gathered and sent every two seconds by a thread of its own, so that a slow
    store never holds up the training, nor lengthens a time that is measured; while the store
    fails it is kept, and the work goes on. ``folder``: a scratch folder; everything in it becomes
    the run's artifacts when the run ends well.
    """

    def __init__(self, store: Store, run_id: str, folder: Path) -> None:
        self.store = store
        self.run_id = run_id
        self.folder = folder
        self._waiting: list[Metric | Param | RunTag] = []
        self._present: set[str] | None = None  # parameters that MLflow's launcher has logged
        self._known: set[tuple[str, int]] = set()  # numbers that a resumed run has logged before
        self._warned: set[str] = set()
        self._remarks: list[str] = []  # paragraphs of the description
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
        self.tags({"mlflow.note.content": "\n\n".join([text, *self._remarks])})

    def remark(self, text: str) -> None:
        """Add a paragraph to the description that will be set."""
        self._remarks.append(text)

    def put(self, path: str, content: bytes) -> None:
        """Put a file among the run's artifacts at once; raises what goes wrong."""
        with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
            file = Path(scratch) / Path(path).name
            file.write_bytes(content)
            self.store.client.log_artifact(self.run_id, str(file), str(Path(path).parent))

    def dataset(
        self, name: str, digest: str, place: str, profile: Mapping[str, Any], use: str = "training"
    ) -> None:
        """Log a data set as an input of the run; a store that refuses costs that, not the work.

        ``digest``: short fingerprint; MLflow takes 36 letters. ``profile``: what it holds,
        JSON-ready. ``use``: what the run does with it, as MLflow's page shows it.
        """
        source, about = json.dumps({"uri": place}), json.dumps(profile)[:MOST]
        one = DatasetInput(
            Dataset(name, digest, "local", source, profile=about),
            [InputTag("mlflow.data.context", use)],
        )
        try:
            self.store.client.log_inputs(self.run_id, datasets=[one])
        except Exception as error:
            self.warn("the data set could not be logged", error)

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


def log_to(
    store: Store, run_id: str, values: Mapping[str, float], plots: Path, evaluation: str
) -> None:
    """Add numbers and plots to a finished run; it stays finished.

    Numbers that are there with the same value are left as they are. Plots go to the run's folder
    ``evaluation/``, and the tag ``mu.evaluation`` names the run that measured them. UserError if
    the store refuses; what was measured is in the evaluation's own run.
    """
    present = store.run(run_id).data.metrics
    now = int(time.time() * 1000)
    new = [
        Metric(name, rounded(value), now, 0)
        for name, value in values.items()
        if present.get(name) != rounded(value)
    ]
    try:
        if plots.is_dir():
            store.client.log_artifacts(run_id, str(plots), "evaluation")
        store.client.log_batch(run_id, metrics=new, tags=[RunTag(EVALUATION, evaluation)])
    except Exception as error:
        raise UserError(
            f"run {run_id} could not be added to ({reason(store.uri, error)}); its numbers are in "
            f"run {evaluation}"
        ) from error


def rounded(value: float) -> float:
    """Three digits after the point, and four significant ones below 1: what a table can show."""
    value = float(value)
    return round(value, 3) if abs(value) >= 1 else float(f"{value:.4g}")
