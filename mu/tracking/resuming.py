"""Going on with an interrupted run: its progress, and what it is to do, are kept while it lasts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from mu.digests import digest_of
from mu.distributed.group import from_first
from mu.distributed.place import place
from mu.errors import ProcessDiedError, UserError
from mu.readers.documents import read_json
from mu.tags import ENTRY, HOST, PID, RESUMED_AS
from mu.tracking.address import hidden
from mu.tracking.artifacts import read
from mu.tracking.doctor import verdict_of
from mu.tracking.lease import remedy_elsewhere
from mu.tracking.recorder import Recorder
from mu.tracking.run_files import RunFiles
from mu.tracking.signals import Stopped
from mu.tracking.store import Store
from mu.training.progress import FOLDER, Checkpointer, Progress, progress_files, read_newest

# Entries whose runs keep what is needed to go on.
RESUMABLE = ("prune", "unlearn", "backdoor", "lira", "sweep", "tune")
DOCUMENT_FILE = f"{FOLDER}/job.json"
_FORMAT = "mu.job/1"


def resumable_run(store: Store, run_id: str, entry: str) -> MlflowRun:
    """The run of that ID, if it is of the entry point ``entry`` and was interrupted.

    UserError if it is unknown, deleted, finished, still running, or of another entry.
    """
    # Its process may be of the first rank's machine, and may end in between.
    return from_first(lambda: _resumable_run(store, run_id, entry))


def _resumable_run(store: Store, run_id: str, entry: str) -> MlflowRun:
    run = store.run(run_id)
    own = run.data.tags.get(ENTRY, "unknown")
    if resumed := run.data.tags.get(RESUMED_AS):
        raise UserError(f"run {run_id} is the launcher's own and empty; it resumed run {resumed}")
    if own not in RESUMABLE:
        raise UserError(
            f"run {run_id} (entry {own}) keeps no progress; only runs of {', '.join(RESUMABLE)} do"
        )
    finished = run.info.status == "FINISHED"
    if own != entry:
        remedy = (
            "it is FINISHED"
            if finished
            else f"go on with it by mlflow run . -e {own} -P resume_run_id={run_id}"
        )
        raise UserError(f"run {run_id} is a run of {own}, not of {entry}; {remedy}")
    if finished:
        raise UserError(f"run {run_id} is FINISHED: there is nothing left to do in it")
    if run.info.status == "RUNNING" and (verdict := verdict_of(run, orphan_hours=0)) != "dead":
        host, process = (run.data.tags.get(tag, "?") for tag in (HOST, PID))
        remedy = {
            "alive": "wait for it, or stop it first",
            "elsewhere": remedy_elsewhere(run.data.tags),
        }.get(verdict, "end it first")
        raise UserError(f"run {run_id} is RUNNING, as process {process} on {host}; {remedy}")
    return run


def find_progress(store: Store, run: MlflowRun) -> tuple[Progress, dict[str, Any]] | None:
    """The newest whole progress of a run and what it is about; None before the first epoch's end.

    UserError if all of it is damaged.
    """
    run_id = run.info.run_id
    try:
        if not store.client.list_artifacts(run_id, FOLDER):
            return None
        with RunFiles(store, run_id, run.info.artifact_uri).fetched(FOLDER) as folder:
            return read_newest(folder) if progress_files(folder) else None
    except UserError as error:
        raise UserError(f"run {run_id} cannot be resumed: {error}") from error
    except (MlflowException, OSError) as error:
        why = hidden(str(error), store.uri)
        raise UserError(f"the progress of run {run_id} cannot be read: {why}") from error


@contextmanager
def run_checkpointer(
    recorder: Recorder, about: Mapping[str, Any], before: Progress | None = None
) -> Iterator[Checkpointer]:
    """Keep progress among a run's artifacts, in ``resume/``.

    Only the newest is, by a thread of its own: the training never waits for it. A store that fails
    costs the progress, with a warning, but not the training. ``about``: JSON-ready: what is being
    made. ``before``: what to go on from.
    """
    checkpointer = RunCheckpointer(recorder, about, before)
    try:
        yield checkpointer
    except (KeyboardInterrupt, Stopped, ProcessDiedError):
        if checkpointer.has_kept:
            print(
                "to go on from the last finished epoch: "
                f"mlflow run . -e {recorder.entry} -P resume_run_id={recorder.run_id}",
                file=sys.stderr,
                flush=True,
            )
        raise


class RunCheckpointer:
    """Gives progress to the recorder, which delivers it while the next epoch trains."""

    def __init__(
        self, recorder: Recorder, about: Mapping[str, Any], before: Progress | None
    ) -> None:
        self._recorder, self._before = recorder, before
        self._about = json.loads(json.dumps(about))
        self.has_kept = before is not None

    def last(self) -> Progress | None:
        """See :meth:`mu.training.progress.Checkpointer.last`."""
        return self._before

    def save(self, progress: Progress) -> None:
        """See :meth:`mu.training.progress.Checkpointer.save`; returns once it is copied."""
        self._recorder.put_progress(progress, progress.to_bytes(self._about))
        self.has_kept = True


def remove_progress(recorder: Recorder) -> None:
    """Remove the progress of a run that has ended well; a store that cannot costs only space."""
    if not place().is_first:
        return
    try:
        recorder.files.remove_progress()
    except Exception as error:
        recorder.warn("the run's resume/ could not be removed", error)


# --- the document: what a run is to do ------------------------------------------------------


def keep_document(recorder: Recorder, task: Mapping[str, Any]) -> None:
    """Keep it among a run's artifacts, soon; a store that fails costs that, but not the work.

    ``task``: JSON-ready: everything that is needed to start it again.
    """
    document = {"format": _FORMAT, **task}
    text = json.dumps({**document, "digest": digest_of(document)}) + "\n"
    recorder.put(DOCUMENT_FILE, text.encode())


def fetch_document(store: Store, run: MlflowRun) -> dict[str, Any]:
    """What an interrupted run was to do.

    UserError if it was stopped before that was known, or the file is damaged.
    """
    run_id = run.info.run_id
    if DOCUMENT_FILE not in store.artifacts(run_id, FOLDER):
        raise UserError(
            f"run {run_id} was stopped before its original was there, so there is nothing to go "
            "on from; start anew (if the original was interrupted, finish that first: "
            "mlflow run . -e prune -P resume_run_id=ITS_ID)"
        )
    text = read(store, run, DOCUMENT_FILE)
    try:
        document = dict(read_json(text))
        if document.pop("format") != _FORMAT:
            raise ValueError("its format is not one that this version of mu reads")
        if document.pop("digest") != digest_of({"format": _FORMAT, **document}):
            raise ValueError("its contents do not fit its digest")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"run {run_id} cannot be resumed: {DOCUMENT_FILE} is damaged ({error!r}); start it anew"
        ) from error
    return document
