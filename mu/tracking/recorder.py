"""Recorder: one MLflow run being written, from its opening to a status that tells the truth."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from mu.errors import UserError
from mu.tracking.signals import Signals, Stopped
from mu.tracking.store import Store, connect, failure, give_views

FLUSH_SECONDS = 2.0
BATCH = 1000
SETTLING_SECONDS = 0.5  # in which another process that resumes the same run would show itself


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
            if (name, step) not in self._known
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
            reason = _reason(self.store, error)
            print(f"warning: {what}: {reason}", file=sys.stderr, flush=True)
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


@contextmanager
def tracked(
    store: Store, entry: str, name: str, *, resume: str | None = None
) -> Iterator[Recorder]:
    """Open a run, or attach to the one that MLflow's launcher opened, and end it truthfully.

    The run is FINISHED only after its artifacts are stored. It is KILLED by SIGINT and SIGTERM
    and FAILED by any exception, with the reason in the tag ``mu.error``; its exception goes on.
    Files that were written but could not be stored are kept, and their folder is named.

    Parameters
    ----------
    entry
        Name of the entry point, the tag ``mu.entry``.
    name
        Of the run, in the runs table.
    resume
        ID of an interrupted run to go on with, instead of opening one.

    Raises
    ------
    UserError
        If the run cannot be opened, or its results cannot be stored.
    """
    give_views(store)
    with Signals() as signals:  # they wait, wherever nothing else is said
        folder = Path(tempfile.mkdtemp(prefix="mu-"))
        try:
            run_id = _reopen(store, resume) if resume else _open(store, entry, name)
            recorder = Recorder(store, run_id, folder)
            if resume:
                recorder.know_history()
            try:
                with signals.let_through():
                    yield recorder
                    _store(recorder)
                _finish(recorder)
            except BaseException as error:
                _end_badly(recorder, error)
                raise
            finally:
                recorder.close()
        except BaseException as error:
            if any(folder.iterdir()):
                if str(folder) not in str(error):
                    print(f"what the run had written is kept in {folder}", file=sys.stderr)
                raise
            folder.rmdir()
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _store(recorder: Recorder) -> None:
    try:
        recorder.finish()
    except Exception as error:
        raise UserError(
            f"the results of run {recorder.run_id} could not be stored "
            f"({_reason(recorder.store, error)}); they are kept in {recorder.folder}"
        ) from error


def _finish(recorder: Recorder) -> None:
    try:
        recorder.store.client.set_terminated(recorder.run_id, "FINISHED")
    except Exception as error:
        raise UserError(
            f"the results of run {recorder.run_id} are stored, but it could not be marked as "
            f"finished: {_reason(recorder.store, error)}"
        ) from error


def _reason(store: Store, error: Exception) -> str:
    return str(failure(store.uri, error) if isinstance(error, MlflowException) else error)


def _open(store: Store, entry: str, name: str) -> str:
    """Attach to the launcher's run, once, or create one."""
    tags = {"mu.entry": entry, "mlflow.runName": name, **_process_tags()}
    run_id = os.environ.get("MLFLOW_RUN_ID")
    try:
        if run_id is None:
            created = store.client.create_run(store.experiment_id, tags={**resolve_tags(), **tags})
            return str(created.info.run_id)
        status = store.run(run_id).info.status
        if status != "RUNNING":
            raise UserError(f"MLFLOW_RUN_ID names run {run_id}, which is {status}; unset it")
        store.client.log_batch(run_id, tags=[RunTag(*pair) for pair in tags.items()])
    except MlflowException as error:
        raise failure(store.uri, error) from error
    del os.environ["MLFLOW_RUN_ID"]  # the run opened next is one of its own
    return run_id


def _reopen(store: Store, run_id: str) -> str:
    """Open an interrupted run again; the one that the launcher opened points to it."""
    try:
        if launched := os.environ.pop("MLFLOW_RUN_ID", None):
            store.client.set_tag(launched, "mu.resumed_as", run_id)
            store.client.set_tag(launched, "mlflow.runName", f"resumes {run_id[:8]}")
        tags = store.run(run_id).data.tags
        again = {"mu.resumed": str(int(tags.get("mu.resumed", 0)) + 1), **_process_tags()}
        store.client.log_batch(run_id, tags=[RunTag(*pair) for pair in again.items()])
        if "mu.error" in tags:
            store.client.delete_tag(run_id, "mu.error")
        store.client.update_run(run_id, status="RUNNING")
        time.sleep(SETTLING_SECONDS)
        if (taken := store.run(run_id).data.tags["mu.pid"]) != again["mu.pid"]:
            raise UserError(f"run {run_id} is being resumed by process {taken} at the same time")
    except MlflowException as error:
        raise failure(store.uri, error) from error
    return run_id


def _process_tags() -> dict[str, str]:
    """Which process works on the run, and on which commit."""
    process = psutil.Process()
    return {
        "mu.host": socket.gethostname(),
        "mu.pid": str(process.pid),
        "mu.process_start": f"{process.create_time():.2f}",
        **_commit(),
    }


def _commit() -> dict[str, str]:
    """The commit of the working tree and whether it was dirty, where git can tell."""
    with contextlib.suppress(ImportError):  # there may be no git
        from git import Repo
        from git.exc import GitError

        with (
            contextlib.suppress(GitError, ValueError, OSError),
            Repo(Path(__file__).parents[2]) as repo,
        ):
            return {"mu.commit": repo.head.commit.hexsha, "mu.dirty": str(repo.is_dirty()).lower()}
    return {}


def _end_badly(recorder: Recorder, error: BaseException) -> None:
    """Close a run that did not end well; a store that is gone must not hide the reason.

    MLflow's launcher writes FAILED over KILLED once the process has ended; the reason stays.
    """
    status, reason = "FAILED", str(error) or type(error).__name__
    if isinstance(error, KeyboardInterrupt | Stopped):
        status, reason = "KILLED", f"stopped by {str(error) or 'SIGINT'}"
    with contextlib.suppress(Exception):
        _close(recorder.store, recorder.run_id, status, reason)
        recorder.send()


def _close(store: Store, run_id: str, status: str, reason: str) -> None:
    store.client.set_tag(run_id, "mu.error", reason.splitlines()[0][:500])
    store.client.set_terminated(run_id, status)


def fail_launched_run(reason: str) -> None:
    """Close the run that MLflow's launcher opened for this process, if nothing attached to it."""
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id is not None:
        with contextlib.suppress(Exception):
            store = connect()
            if store.run(run_id).info.status == "RUNNING":
                _close(store, run_id, "FAILED", reason)
