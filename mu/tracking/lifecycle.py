"""One MLflow run from its opening to a status that tells the truth."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.entities import RunTag
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mu.distributed.group import from_first, other_failed
from mu.distributed.place import place
from mu.errors import UserError
from mu.tags import COMMIT, DIRTY, ENTRY, ERROR, HOST, PID, PROCESS, RESUMED, RESUMED_AS
from mu.tracking import signals
from mu.tracking.kept import KEPT_FILE, PREFIX, keep
from mu.tracking.lease import process_tags, state_of
from mu.tracking.recorder import Recorder
from mu.tracking.sender import within
from mu.tracking.signals import Signals, Stopped
from mu.tracking.store import Store, connect, reason
from mu.tracking.system_metrics import system_metrics
from mu.tracking.view import give_views

SETTLING_SECONDS = 0.5  # in which another process that resumes the same run would show itself
PATIENCE_SECONDS = 60.0  # that a store is waited for when a run fails


@contextmanager
def tracked(
    store: Store, entry: str, name: str, *, resume: str | None = None, parent: str | None = None
) -> Iterator[Recorder]:
    """Open a run, or attach to the one that MLflow's launcher opened, and end it truthfully.

    The run is FINISHED only after its artifacts are stored. It is KILLED by SIGINT and SIGTERM
    and FAILED by any exception, with the reason in the tag ``mu.error``; its exception goes on.
    Files that were written but could not be stored are kept, and their folder is named.

    Of several ranks the first one does all that; the others write to no run, and go on when its
    results are stored. Where another rank failed, the exception says how.

    ``entry``: name of the entry point, the tag ``mu.entry``. ``name``: of the run, in the runs
    table. ``resume``: ID of an interrupted run to go on with, instead of opening one. ``parent``:
    ID of the run that this one is made for; the runs table shows it below that.

    UserError if the run cannot be opened, or its results cannot be stored; ProcessDiedError if
    another rank died.
    """
    give_views(store)
    # Signals wait, wherever they are not let through.
    with Signals() as caught, _kept_where_it_fails() as folder:
        own = process_tags()
        fresh = not resume and "MLFLOW_RUN_ID" not in os.environ

        def opened() -> str:
            return _reopen(store, resume, own) if resume else _open(store, entry, name, parent, own)

        run_id = from_first(lambda: caught.outlast(opened))
        recorder = Recorder(store, run_id, folder, own[PROCESS], entry, fresh=fresh)
        try:
            with caught.let_through(), system_metrics(store, run_id, resumed=bool(resume)):
                if resume:
                    recorder.know_history()
                yield recorder
                from_first(lambda: _store(recorder))
            from_first(lambda: caught.outlast(lambda: _finish(recorder)))
        except BaseException as error:
            # Another rank's failure, where the launcher stops this one because of it.
            cause = other_failed() if isinstance(error, Stopped) else None
            _end_badly(recorder, cause or error)
            if cause is not None:
                raise cause from error
            raise
        finally:
            recorder.close()


@contextmanager
def _kept_where_it_fails() -> Iterator[Path]:
    """A scratch folder, which stays where the block fails and has written something."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    kept = False
    try:
        yield folder
    except BaseException as error:
        kept = place().is_first and any(one.is_file() for one in folder.rglob("*"))
        if kept and str(folder) not in str(error):
            print(_words_on(folder), file=sys.stderr, flush=True)
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _words_on(folder: Path) -> str:
    if (folder / KEPT_FILE).exists():
        return f"what the store does not have is kept in {folder}; to deliver it: mu sync {folder}"
    return f"what the run had written is kept in {folder}"


def _store(recorder: Recorder) -> None:
    recorder.stage = "worked"
    try:
        recorder.finish()
    except Exception as error:
        raise UserError(
            f"the results of run {recorder.run_id} could not be stored "
            f"({reason(recorder.store.uri, error)}); they are kept in {recorder.folder}; to "
            f"deliver them: mu sync {recorder.folder}"
        ) from error


def _finish(recorder: Recorder) -> None:
    recorder.stage = "stored"
    try:
        recorder.store.client.set_terminated(recorder.run_id, "FINISHED")
    except Exception as error:
        raise UserError(
            f"the results of run {recorder.run_id} are stored, but it could not be marked as "
            f"finished: {reason(recorder.store.uri, error)}; to do so: mu sync {recorder.folder}"
        ) from error


def _open(store: Store, entry: str, name: str, parent: str | None, own: Mapping[str, str]) -> str:
    """Attach to the launcher's run, once, or create one; ``own``: this process's tags."""
    tags = {ENTRY: entry, "mlflow.runName": name, **own, **commit_tags()}
    tags |= {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    run_id = os.environ.get("MLFLOW_RUN_ID")
    with store.answers():
        if run_id is None:
            created = store.client.create_run(store.experiment_id, tags={**resolve_tags(), **tags})
            return str(created.info.run_id)
        status = store.run(run_id).info.status
        if status != "RUNNING":
            raise UserError(f"MLFLOW_RUN_ID names run {run_id}, which is {status}; unset it")
        store.client.log_batch(run_id, tags=[RunTag(*pair) for pair in tags.items()])
    del os.environ["MLFLOW_RUN_ID"]  # the run opened next is one of its own
    return run_id


def _reopen(store: Store, run_id: str, own: Mapping[str, str]) -> str:
    """Open an interrupted run again; the one that the launcher opened points to it.

    UserError if another process is quicker.
    """
    with store.answers():
        if launched := name_launched_run(store, f"resumes {run_id[:8]}"):
            store.client.set_tag(launched, RESUMED_AS, run_id)
        start = time.monotonic()
        run = store.run(run_id)
        tags = run.data.tags
        if run.info.status == "RUNNING" and state_of(tags) != "dead":
            raise _taken(run)
        again = {RESUMED: str(int(tags.get(RESUMED, 0)) + 1), **own, **commit_tags()}
        store.client.log_batch(run_id, tags=[RunTag(*pair) for pair in again.items()])
        if ERROR in tags:
            store.client.delete_tag(run_id, ERROR)
        store.client.update_run(run_id, status="RUNNING")
        # Another one that found it free has written its tags, too, before this is over.
        time.sleep(max(SETTLING_SECONDS, time.monotonic() - start))
        if (run := store.run(run_id)).data.tags.get(PROCESS) != own[PROCESS]:
            raise _taken(run)
    return run_id


def _taken(run: MlflowRun) -> UserError:
    host, process = (run.data.tags.get(tag, "?") for tag in (HOST, PID))
    return UserError(
        f"run {run.info.run_id} is being resumed by process {process} on {host} at the same time"
    )


def commit_tags() -> dict[str, str]:
    """The commit of the working tree and whether it was dirty, where git can tell."""
    with contextlib.suppress(ImportError):  # there may be no git
        from git import Repo
        from git.exc import GitError

        with (
            contextlib.suppress(GitError, ValueError, OSError),
            Repo(Path(__file__).parents[2]) as repo,
        ):
            return {COMMIT: repo.head.commit.hexsha, DIRTY: str(repo.is_dirty()).lower()}
    return {}


def _end_badly(recorder: Recorder, error: BaseException) -> None:
    """Close a run that did not end well; a store that is gone must not hide the reason.

    What it does not take in time is kept. MLflow's launcher writes FAILED over KILLED once the
    process has ended; the reason stays.
    """
    if recorder.stage == "lost" or not place().is_first:
        return
    status, why, seconds = "FAILED", reason(recorder.store.uri, error), PATIENCE_SECONDS
    if isinstance(error, KeyboardInterrupt | Stopped):
        status, seconds = "KILLED", signals.CLOSING_SECONDS
        why = f"stopped by {str(error) or 'SIGINT'}"
    told: list[str] = []

    def close() -> None:
        with contextlib.suppress(Exception):
            if recorder.stage != "stored":
                recorder.store.close(recorder.run_id, status, why)
                told.append(status)
            recorder.flush()

    within(seconds, close)
    try:
        if recorder.stage != "working":  # all results are there, or in the folder
            keep(recorder, "FINISHED", "")
        elif not (told and recorder.is_delivered):
            keep(recorder, status, why)
    except OSError as full:
        recorder.warn("what was not delivered is lost", full)


def name_launched_run(store: Store, name: str) -> str | None:
    """Say by its name why the run that MLflow's launcher opened stays empty; gives its ID."""
    if run_id := os.environ.pop("MLFLOW_RUN_ID", None):
        store.client.set_tag(run_id, "mlflow.runName", name)
    return run_id


def fail_launched_run(reason: str) -> None:
    """Close the run that MLflow's launcher opened for this process, if nothing attached to it."""
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id is not None:
        with contextlib.suppress(Exception):
            store = connect()
            if store.run(run_id).info.status == "RUNNING":
                store.close(run_id, "FAILED", reason)
