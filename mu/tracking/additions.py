"""Adding to a run that is finished: numbers that were measured later, and their plots."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, RunTag

from mu.errors import UserError
from mu.tags import EVALUATION
from mu.tracking.recorder import rounded
from mu.tracking.store import Store, reason

FOLDER = "evaluation"


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
            store.client.log_artifacts(run_id, str(plots), FOLDER)
        store.client.log_batch(run_id, metrics=new, tags=[RunTag(EVALUATION, evaluation)])
    except Exception as error:
        raise UserError(
            f"run {run_id} could not be added to ({reason(store.uri, error)}); its numbers are in "
            f"run {evaluation}"
        ) from error
