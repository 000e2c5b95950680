"""The data of a run, as MLflow shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from mu.tracking.recorder import Recorder

MOST = 60_000  # letters of a profile; MLflow takes 65,535 at the least


def log_dataset(
    recorder: Recorder,
    name: str,
    digest: str,
    place: str,
    profile: Mapping[str, Any],
    use: str = "training",
) -> None:
    """Log a data set as an input of the run; a store that refuses costs that, not the work.

    Parameters
    ----------
    digest
        Short fingerprint; MLflow takes 36 letters.
    place
        Where it lies.
    profile
        What it holds, JSON-ready.
    use
        What the run does with it, as MLflow's page shows it.
    """
    about = Dataset(
        name=name,
        digest=digest,
        source_type="local",
        source=json.dumps({"uri": place}),
        profile=json.dumps(profile)[:MOST],
    )
    try:
        one = DatasetInput(about, [InputTag("mlflow.data.context", use)])
        recorder.store.client.log_inputs(recorder.run_id, datasets=[one])
    except Exception as error:
        recorder.warn("the data set could not be logged", error)
