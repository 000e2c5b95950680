"""Tracking: the only part of mu that knows MLflow.

It opens runs and ends them truthfully, and turns a run ID into checked files.
"""

from mu.tags import fingerprint_tag
from mu.tracking.artifacts import (
    UNLEARNED,
    checkpoint_of,
    fetch_checkpoint,
    fetch_mask,
    fingerprint_tags,
    finished_run,
    load_checkpoint,
    load_mask,
    load_model,
)
from mu.tracking.choosing import (
    Chosen,
    below,
    choose_runs,
    derived,
    every_run,
    of_experiment,
    read_each,
)
from mu.tracking.doctor import close_dead_runs, close_runs_below, close_runs_of
from mu.tracking.lifecycle import tracked
from mu.tracking.reader import (
    find_oracle,
    find_original,
    read_list,
    read_run,
    read_unlearned,
    record_of,
    records,
    same_value,
)
from mu.tracking.recorder import Recorder, log_to
from mu.tracking.registered import registered_as, run_of
from mu.tracking.resuming import (
    fetch_document,
    find_progress,
    keep_document,
    remove_progress,
    resumable_run,
    run_checkpointer,
)
from mu.tracking.signals import Stopped
from mu.tracking.store import FINISHED, UNFINISHED, Store, connect
from mu.tracking.view import browse, browsed_at, run_url, view_url

__all__ = [
    "FINISHED", "UNFINISHED", "UNLEARNED", "Chosen", "Recorder", "Stopped", "Store", "below",
    "browse", "browsed_at", "checkpoint_of", "choose_runs", "close_dead_runs", "close_runs_below",
    "close_runs_of", "connect", "derived", "every_run", "fetch_checkpoint", "fetch_document",
    "fetch_mask", "find_oracle", "find_original", "find_progress", "fingerprint_tag",
    "fingerprint_tags", "finished_run", "keep_document", "load_checkpoint", "load_mask",
    "load_model", "log_to", "of_experiment", "read_each", "read_list", "read_run", "read_unlearned",
    "record_of", "records", "registered_as", "remove_progress", "resumable_run", "run_checkpointer",
    "run_of", "run_url", "same_value", "tracked", "view_url",
]  # fmt: skip
