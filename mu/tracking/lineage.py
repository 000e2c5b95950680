"""Finding earlier runs: the original to unlearn from, and the oracle to be judged against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.entities import Run as MlflowRun

from mu.tags import DATA, ENTRY, ORACLE_KEY, POISON, SPEC, fingerprint_tag
from mu.tracking.store import FINISHED, Store


def find_original(
    store: Store, given: Mapping[str, Any], data: str | None = None, *, poisoned: bool = False
) -> MlflowRun | None:
    """The newest finished prune run of the experiment whose parameters agree with ``given``.

    Parameters
    ----------
    given
        What the user gave explicitly, by the names of ``prune``'s parameters; what was not
        given may be anything.
    data
        Fingerprint of the data that it must have been trained on, where that was given.
    poisoned
        Whether it must have been trained on poisoned images, or must not.
    """
    wanted = {ENTRY: "prune"} | ({} if data is None else {DATA: fingerprint_tag(data)})
    for run in store.find(wanted, FINISHED):
        params, tags = run.data.params, run.data.tags
        if SPEC not in tags or (POISON in tags) != poisoned:
            continue
        if all(same_value(params.get(name), value) for name, value in given.items()):
            return run
    return None


def find_oracle(store: Store, key: str, but: str | None = None) -> MlflowRun | None:
    """The newest finished Retrain run of the experiment with this oracle key.

    ``but``: a run that is passed over.
    """
    found = store.find({ORACLE_KEY: key}, FINISHED)
    return next((run for run in found if run.info.run_id != but), None)


def same_value(logged: str | None, given: Any) -> bool:
    """Whether a logged parameter, in whatever spelling, means the value given."""
    if logged is None:
        return False
    if isinstance(given, bool):
        return logged.lower() in (("true", "1") if given else ("false", "0"))
    if isinstance(given, int | float):
        try:
            return float(logged) == float(given)
        except ValueError:
            return False
    return logged == ("none" if given is None else str(given))
