"""Recorder: one MLflow run being written, from its opening to a status that tells the truth."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from mu.errors import UserError
from mu.tracking.store import Store, connect, give_views

FLUSH_SECONDS = 2.0
BATCH = 1000
PROCESS_TAGS = ("mu.host", "mu.pid", "mu.process_start")


class Stopped(BaseException):
    """The process was asked to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Recorder:
    """Writes to one MLflow run.

    Metrics are gathered and sent every two seconds, so that a busy server does not slow the
    training; while the server does not answer they are kept, and training goes on.

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
        self._waiting: list[Metric] = []
        self._sent_at = time.monotonic()
        self._warned = False

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, rounded to six digits after the point; fits :class:`mu.Run`'s sink."""
        now = int(time.time() * 1000)
        self._waiting += [
            Metric(name, round(float(value), 6), now, step or 0) for name, value in values.items()
        ]
        if time.monotonic() - self._sent_at > FLUSH_SECONDS:
            try:
                self._send()
            except MlflowException as error:
                self._warn(error)
            self._sent_at = time.monotonic()

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, except those that MLflow's launcher has logged already."""
        present = self.store.client.get_run(self.run_id).data.params
        missing = [
            Param(name, "none" if value is None else str(value))
            for name, value in values.items()
            if name not in present
        ]
        self.store.client.log_batch(self.run_id, params=missing)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        tags = [RunTag(name, value) for name, value in values.items()]
        self.store.client.log_batch(self.run_id, tags=tags)

    def describe(self, text: str) -> None:
        """Set the description on the run's page; Markdown."""
        self.tags({"mlflow.note.content": text})

    def finish(self) -> None:
        """Send what is waiting and upload the folder; raises what goes wrong."""
        self._send()
        self.store.client.log_artifacts(self.run_id, str(self.folder))

    def _send(self) -> None:
        while self._waiting:
            self.store.client.log_batch(self.run_id, metrics=self._waiting[:BATCH])
            del self._waiting[:BATCH]

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            reason = str(error).splitlines()[0][:200]
            print(f"warning: metrics wait, the tracking store fails: {reason}", file=sys.stderr)
            self._warned = True


@contextmanager
def tracked(store: Store, entry: str, name: str) -> Iterator[Recorder]:
    """Open a run, or attach to the one that MLflow's launcher opened, and end it truthfully.

    The run is FINISHED only after its artifacts are stored. It is KILLED by SIGINT and SIGTERM
    and FAILED by any exception, with the reason in the tag ``mu.error``; its exception goes on.

    Parameters
    ----------
    entry
        Name of the entry point, the tag ``mu.entry``.
    name
        Of the run, in the runs table.
    """
    give_views(store)
    run_id = _open(store, entry, name)
    folder = Path(tempfile.mkdtemp(prefix="mu-"))
    recorder = Recorder(store, run_id, folder)
    keep_folder = False
    try:
        with _signals():
            yield recorder
            try:
                recorder.finish()
            except (MlflowException, OSError) as error:
                keep_folder = True
                raise UserError(
                    f"the results of run {run_id} could not be stored ({error}); "
                    f"they are kept in {folder}"
                ) from error
        store.client.set_terminated(run_id, "FINISHED")
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt | Stopped)
        _end_badly(store, run_id, "KILLED" if killed else "FAILED", error)
        raise
    finally:
        if not keep_folder:
            shutil.rmtree(folder, ignore_errors=True)


def _open(store: Store, entry: str, name: str) -> str:
    """Attach to the launcher's run, once, or create one."""
    process = psutil.Process()
    tags = {
        "mu.entry": entry,
        "mlflow.runName": name,
        "mu.host": socket.gethostname(),
        "mu.pid": str(process.pid),
        "mu.process_start": f"{process.create_time():.2f}",
        **_commit(),
    }
    if run_id := os.environ.pop("MLFLOW_RUN_ID", None):
        store.run(run_id)
        store.client.log_batch(run_id, tags=[RunTag(*pair) for pair in tags.items()])
        return run_id
    created = store.client.create_run(store.experiment_id, tags={**resolve_tags(), **tags})
    run_id = created.info.run_id
    return str(run_id)


def _commit() -> dict[str, str]:
    """The commit of the working tree and whether it was dirty, where git can tell."""
    from git import Repo
    from git.exc import GitError

    with contextlib.suppress(GitError, ValueError, OSError):
        repo = Repo(Path(__file__).parents[2])
        return {"mu.commit": repo.head.commit.hexsha, "mu.dirty": str(repo.is_dirty()).lower()}
    return {}


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM raises :class:`Stopped` inside the block, as SIGINT raises KeyboardInterrupt."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: the caller owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_badly(store: Store, run_id: str, status: str, error: BaseException) -> None:
    """Close a run that did not end well; a store that is gone must not hide the reason."""
    reason = (str(error) or type(error).__name__).splitlines()[0][:500]
    with contextlib.suppress(Exception):
        store.client.set_tag(run_id, "mu.error", reason)
        store.client.set_terminated(run_id, status)


def fail_launched_run(reason: str) -> None:
    """Close the run that MLflow's launcher opened for this process, if nothing attached to it."""
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id is not None:
        with contextlib.suppress(Exception):
            _end_badly(connect(), run_id, "FAILED", UserError(reason))
