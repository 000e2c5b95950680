"""The resume document: what a run is to do, kept while it lasts, so that it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Run as MlflowRun

from mu.digests import digest_of
from mu.errors import UserError
from mu.readers.documents import read_json
from mu.tracking.artifacts import read
from mu.tracking.recorder import Recorder
from mu.tracking.store import Store
from mu.training.progress import FOLDER

DOCUMENT_FILE = f"{FOLDER}/job.json"
_FORMAT = "mu.job/1"


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
