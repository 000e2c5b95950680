"""Finding earlier runs: the original to unlearn from, and the oracle to be judged against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlflow.entities import Run as MlflowRun

from mu.tracking.store import Store

ORACLE_TAG = "mu.oracle_key"
ORIGINAL_TAG = "mu.original_key"  # of data and recipe: what makes two originals the same
SWEEP_TAG = "mu.sweep"  # of a sweep: of all that is to be there in its end
CELL_TAG = "mu.cell"  # of original, forget set, method, settings and seed: the same unlearning
POISON_TAG = "mu.poison"  # of an original that was trained on poisoned images
FINGERPRINT_DIGITS = 16  # hex digits of a fingerprint in a tag


def find_original(
    store: Store, asked: Mapping[str, Any], data: str | None = None, *, poisoned: bool = False
) -> MlflowRun | None:
    """The newest finished prune run of the experiment whose parameters agree with ``asked``.

    Parameters
    ----------
    asked
        What the user gave explicitly, by the names of ``prune``'s parameters; what was not
        asked for may be anything.
    data
        Fingerprint of the data that it must have been trained on, where that was asked for.
    poisoned
        Whether it must have been trained on poisoned images, or must not.
    """
    query = "tags.`mu.entry` = 'prune' and attributes.status = 'FINISHED'"
    if data is not None:
        query += f" and tags.`mu.data` = '{data[:FINGERPRINT_DIGITS]}'"
    for run in store.search(query):
        params, tags = run.data.params, run.data.tags
        if "mu.spec" not in tags or (POISON_TAG in tags) != poisoned:
            continue
        if all(same_value(params.get(name), value) for name, value in asked.items()):
            return run
    return None


def find_oracle(store: Store, key: str, but: str | None = None) -> MlflowRun | None:
    """The newest finished Retrain run of the experiment with this oracle key.

    Parameters
    ----------
    but
        A run that is passed over.
    """
    query = f"tags.`{ORACLE_TAG}` = '{key}' and attributes.status = 'FINISHED'"
    return next((run for run in store.search(query) if run.info.run_id != but), None)


def find_finished(store: Store, entry: str, tag: str, key: str) -> Iterator[MlflowRun]:
    """Finished runs of ``entry`` that hold a network and have this tag, newest first."""
    query = f"tags.`{tag}` = '{key}' and tags.`mu.entry` = '{entry}'"
    found = store.search(f"{query} and attributes.status = 'FINISHED'")
    return (run for run in found if "mu.spec" in run.data.tags)


def find_unfinished(store: Store, entry: str, tag: str, key: str) -> Iterator[MlflowRun]:
    """Runs of ``entry`` with this tag that are not finished, newest first."""
    query = f"tags.`{tag}` = '{key}' and tags.`mu.entry` = '{entry}'"
    return store.search(f"{query} and attributes.status != 'FINISHED'")


def interrupted_oracles(store: Store, key: str) -> Iterator[MlflowRun]:
    """Runs with this oracle key that are not finished, newest first."""
    return store.search(f"tags.`{ORACLE_TAG}` = '{key}' and attributes.status != 'FINISHED'")


def same_value(logged: str | None, asked: Any) -> bool:
    """Whether a logged parameter, in whatever spelling, means the value asked for."""
    if logged is None:
        return False
    if isinstance(asked, bool):
        return logged.lower() in (("true", "1") if asked else ("false", "0"))
    if isinstance(asked, int | float):
        try:
            return float(logged) == float(asked)
        except ValueError:
            return False
    return logged == ("none" if asked is None else str(asked))
