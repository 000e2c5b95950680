"""What one MLflow run is told: by the Recorder while it lasts, by :func:`log_to` afterwards."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from mu.distributed.place import place
from mu.errors import UserError
from mu.rounding import rounded
from mu.tags import EVALUATION, HEARTBEAT, HOST, PROCESS
from mu.tracking.lease import HEARTBEAT_SECONDS
from mu.tracking.run_files import RunFiles
from mu.tracking.sender import Outbox, Sender
from mu.tracking.store import Store, reason
from mu.tracking.telling import Entity, Teller
from mu.training.progress import Progress

FLUSH_SECONDS = 2.0
MOST = 60_000  # letters of a data set's profile; MLflow takes 65,535 at the least


class Recorder:
    """Writes to one MLflow run.

    What is logged is gathered and sent every two seconds by a thread of its own, and files by
    another, so that a slow store never holds up the training, nor lengthens a time that is
    measured; while the store fails they are kept, and the work goes on.

    Parameters
    ----------
    folder
        A scratch folder; everything in it becomes the run's artifacts when the run ends well.
    process
        The value of the run's tag ``mu.process``. When another process has taken the run over,
        this one is ended, as by SIGTERM.
    entry
        Name of the entry point.
    fresh
        Whether the run was opened for this, so that nobody else has told it anything.

    Attributes
    ----------
    stage
        How far the run has come: ``working``, ``worked`` (the folder holds all results),
        ``stored`` (all is in the store), ``lost`` (to another process).
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        folder: Path,
        process: str = "",
        entry: str = "",
        *,
        fresh: bool = False,
    ) -> None:
        self.store, self.run_id, self.folder = store, run_id, folder
        self.process, self.entry = process, entry
        self.stage = "working"
        self._waiting: list[Entity] = []
        self._teller = Teller(store, run_id, self.warn, fresh=fresh)
        self._known: set[tuple[str, int]] = set()  # numbers that a resumed run has logged before
        self._warned: set[str] = set()
        self._remarks: list[str] = []  # paragraphs of the description
        self._sending = threading.Lock()
        self._next_beat = time.monotonic() + HEARTBEAT_SECONDS
        self.files = RunFiles(store, run_id)
        self._outbox = Outbox(self.files, folder, partial(self.warn, "progress waits to be kept"))
        waiting = partial(self.warn, "numbers wait to be logged")
        self._numbers = Sender(self._send_regularly, waiting, FLUSH_SECONDS)

    # --- what is told ---------------------------------------------------------------------

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

    def tags(self, values: Mapping[str, str | None]) -> None:
        """Set tags; those whose value is None stay as they are."""
        self._waiting += [RunTag(name, one) for name, one in values.items() if one is not None]

    def describe(self, text: str) -> None:
        """Set the description on the run's page; Markdown."""
        self.tags({"mlflow.note.content": "\n\n".join([text, *self._remarks])})

    def remark(self, text: str) -> None:
        """Add a paragraph to the description that will be set."""
        self._remarks.append(text)

    def dataset(
        self, name: str, digest: str, place: str, profile: Mapping[str, Any], use: str = "training"
    ) -> None:
        """Log a data set as an input of the run; a store that refuses costs that, not the work.

        ``digest``: short fingerprint; MLflow takes 36 letters. ``profile``: what it holds,
        JSON-ready. ``use``: what the run does with it, as MLflow's page shows it.
        """
        source, about = json.dumps({"uri": place}), json.dumps(profile)[:MOST]
        data = Dataset(name, digest, "local", source, profile=about)
        self._waiting.append(DatasetInput(data, [InputTag("mlflow.data.context", use)]))

    def put(self, path: str, content: bytes) -> None:
        """Have a file put among the run's artifacts, soon; it is not waited for.

        A disk that cannot take it costs the file, with a warning, but not the work.
        """
        if not place().is_first:
            return
        try:
            self._outbox.put(path, content)
        except OSError as error:
            self.warn(f"{path} is not kept", error)

    def put_progress(self, progress: Progress, content: bytes) -> None:
        """Have progress put there, in place of older progress; it is not waited for."""
        self._outbox.put_progress(progress, content)

    # --- the end --------------------------------------------------------------------------

    def finish(self) -> None:
        """Send what is waiting and upload the folder; raises what goes wrong."""
        self.send()
        self._outbox.finish()
        self.store.client.log_artifacts(self.run_id, str(self.folder))

    def send(self) -> None:
        """Send what is waiting; raises what goes wrong."""
        with self._sending:
            self._teller.tell(self._waiting)

    def flush(self) -> None:
        """Send what is waiting, and the files that are on their way; raises what goes wrong."""
        self.send()
        self._outbox.flush()

    def close(self) -> None:
        """Begin to send nothing more."""
        self._numbers.end()
        self._outbox.close()

    @property
    def is_delivered(self) -> bool:
        """Whether nothing waits to be sent, apart from the folder of a run that ends well."""
        return not self._waiting and self._outbox.is_empty

    def kept(self) -> list[Entity]:
        """What could not be sent; progress that could not is written to the folder."""
        self._outbox.keep()
        return list(self._waiting)

    # --- sending --------------------------------------------------------------------------

    def _send_regularly(self) -> None:
        self._beat()
        self.send()

    def _beat(self) -> None:
        """Say that this process is alive, and learn whether the run is still its own."""
        if time.monotonic() < self._next_beat or not (self.process and place().is_first):
            return
        client = self.store.client
        client.set_tag(self.run_id, HEARTBEAT, str(int(time.time())))
        self._next_beat = time.monotonic() + HEARTBEAT_SECONDS
        tags = client.get_run(self.run_id).data.tags
        if tags.get(PROCESS, self.process) != self.process:
            self.stage = "lost"
            print(
                f"run {self.run_id} was taken over by a process on {tags.get(HOST)}; this one ends",
                file=sys.stderr,
                flush=True,
            )
            self.close()
            os.kill(os.getpid(), signal.SIGTERM)

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
    store: Store,
    run_id: str,
    values: Mapping[str, float],
    measured_by: str,
    plots: Path | None = None,
) -> None:
    """Add numbers and plots to a finished run; it stays finished.

    Numbers that are there with the same value are left as they are. Plots go to the run's folder
    ``evaluation/``, and the tag ``mu.evaluation`` names the run that measured them,
    ``measured_by``. UserError if the store refuses; what was measured is in that run.
    """
    present = store.run(run_id).data.metrics
    now = int(time.time() * 1000)
    new = [
        Metric(name, rounded(value), now, 0)
        for name, value in values.items()
        if present.get(name) != rounded(value)
    ]
    try:
        if plots is not None and plots.is_dir():
            store.client.log_artifacts(run_id, str(plots), "evaluation")
        store.client.log_batch(run_id, metrics=new, tags=[RunTag(EVALUATION, measured_by)])
    except Exception as error:
        raise UserError(
            f"run {run_id} could not be added to ({reason(store.uri, error)}); its numbers are in "
            f"run {measured_by}"
        ) from error
