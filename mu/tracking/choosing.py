"""Choosing many runs at once: those of an experiment, or those below a parent run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mu.errors import UserError, unknown
from mu.tracking.artifacts import UNLEARNED, download
from mu.tracking.lineage import ORACLE_TAG
from mu.tracking.store import Store, failure

SWEEP_FILE = "sweep.json"  # every task of a sweep and its run


def of_experiment(store: Store, name: str) -> Store:
    """The same store, with the experiment of that name in use; none is created.

    Raises
    ------
    UserError
        If there is none, or it was deleted; the nearest name is given.
    """
    try:
        found = store.client.get_experiment_by_name(name)
        known = store.client.search_experiments(view_type=ViewType.ACTIVE_ONLY)
    except MlflowException as error:
        raise failure(store.uri, error) from error
    if found is None:
        raise unknown("experiment", name, [one.name for one in known])
    if found.lifecycle_stage != "active":
        raise UserError(
            f"the experiment {name!r} was deleted; restore it: mlflow experiments restore "
            f"--experiment-id {found.experiment_id}"
        )
    return replace(store, experiment_id=str(found.experiment_id))


def experiment_name(store: Store) -> str:
    """The name of the experiment in use."""
    try:
        return str(store.client.get_experiment(store.experiment_id).name)
    except MlflowException as error:
        raise failure(store.uri, error) from error


def unlearned_of(store: Store) -> Iterator[MlflowRun]:
    """Finished runs of the experiment that hold a network that has forgotten, newest first."""
    for entry in UNLEARNED:
        query = f"tags.`mu.entry` = '{entry}' and attributes.status = 'FINISHED'"
        # A backdoor run over several sparsities holds none itself; the runs below it do.
        yield from (run for run in store.search(query) if "mu.spec" in run.data.tags)


def below(store: Store, run_id: str) -> list[MlflowRun]:
    """All runs below a run, at whatever depth, in the experiment of that run.

    Of a sweep also the runs that it found made already, which are shown elsewhere.

    Raises
    ------
    UserError
        If there is no such run.
    """
    parent = store.run(run_id)
    there = replace(store, experiment_id=str(parent.info.experiment_id))
    found: dict[str, MlflowRun] = {}
    waiting = [run_id]
    while waiting:
        query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{waiting.pop()}'"
        children = [run for run in there.search(query) if run.info.run_id not in found]
        found |= {run.info.run_id: run for run in children}
        waiting += [run.info.run_id for run in children]
    for one in tasks_of(store, parent):
        found.setdefault(one.info.run_id, one)
    return list(found.values())


def tasks_of(store: Store, sweep: MlflowRun) -> list[MlflowRun]:
    """The runs of all tasks of a sweep that has ended, as far as they are there; none of others."""
    run_id = sweep.info.run_id
    try:
        if SWEEP_FILE not in [one.path for one in store.client.list_artifacts(run_id)]:
            return []
    except MlflowException as error:
        raise failure(store.uri, error) from error
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        text = download(store, sweep, SWEEP_FILE, Path(scratch)).read_text()
    found = []
    for task in json.loads(text)["tasks"]:
        with suppress(UserError):  # it was deleted since
            found += [store.run(task["run_id"])] if task["run_id"] else []
    return found


def oracles_of(store: Store, forget: str, data: str) -> Iterator[MlflowRun]:
    """Finished oracles of the experiment for one forget set, newest first.

    Parameters
    ----------
    forget, data
        Fingerprints, as the tags ``mu.forget`` and ``mu.data`` have them.
    """
    query = (
        f"tags.`mu.forget` = '{forget}' and tags.`mu.data` = '{data}' "
        "and attributes.status = 'FINISHED'"
    )
    yield from (run for run in store.search(query) if ORACLE_TAG in run.data.tags)
