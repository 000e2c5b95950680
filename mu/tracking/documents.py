"""The resume document: what a run is to do, kept while it lasts, so that it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun

from mu.digests import digest_of
from mu.distributed.place import place
from mu.errors import UserError
from mu.readers.documents import read_json
from mu.tracking.artifacts import read
from mu.tracking.recorder import Recorder
from mu.tracking.resuming import resume_folder
from mu.tracking.store import Store
from mu.training.progress import FOLDER, write_whole

DOCUMENT_FILE = f"{FOLDER}/job.json"
_FORMAT = "mu.job/1"


def keep_document(recorder: Recorder, task: Mapping[str, Any]) -> None:
    """Keep it among a run's artifacts; a store that fails costs that, but not the work.

    ``task``: JSON-ready: everything that is needed to start it again.
    """
    if not place().is_first:
        return
    document = {"format": _FORMAT, **task}
    text = json.dumps({**document, "digest": digest_of(document)}) + "\n"
    try:
        with resume_folder(recorder.store.run(recorder.run_id)) as (folder, is_scratch):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / Path(DOCUMENT_FILE).name
            write_whole(path, text.encode())
            if is_scratch:
                recorder.store.client.log_artifact(recorder.run_id, str(path), FOLDER)
    except Exception as error:
        recorder.warn("the run could not be resumed", error)


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
