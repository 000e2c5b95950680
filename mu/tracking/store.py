"""The tracking store: found, created once, and asked for runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from filelock import FileLock
from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mu.errors import UserError
from mu.tracking.view import experiment_tags

# Without these a client asks a server that is down for about four minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_LOCK_SECONDS = 120


@dataclass(frozen=True)
class Store:
    """A tracking store and the experiment in use.

    Parameters
    ----------
    client
        MLflow's client; no global state of MLflow is used.
    uri
        The tracking URI.
    experiment_id
        Where new runs go and earlier ones are looked for.
    """

    client: MlflowClient
    uri: str
    experiment_id: str

    def run(self, run_id: str) -> MlflowRun:
        """The run of that ID, whatever its state.

        Raises
        ------
        UserError
            If there is none, or it was deleted.
        """
        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            raise UserError(
                f"there is no run {run_id!r} in {self.uri}; copy an ID from the MLflow page, or "
                "set MLFLOW_TRACKING_URI to the store that holds it"
            ) from error
        if found.info.lifecycle_stage != "active":
            raise UserError(
                f"run {run_id} was deleted; restore it: mlflow runs restore --run-id {run_id}"
            )
        return found

    def search(self, query: str) -> Iterator[MlflowRun]:
        """Undeleted runs of the experiment that match MLflow's ``query``, newest first."""
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                query,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=50,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            if not (token := page.token):
                return


def connect(uri: str | None = None) -> Store:
    """Open the store, creating a local one if it is not there yet.

    Two processes that create a fresh SQLite store at once ruin it for good, so the first opening
    is done under a lock beside the file.

    Parameters
    ----------
    uri
        Default: ``MLFLOW_TRACKING_URI``, or ``sqlite:///mlflow.db`` in the current folder.

    Raises
    ------
    UserError
        If no server answers, or the store cannot be opened.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    uri = uri or mlflow.get_tracking_uri()
    try:
        with _lock_of(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
        experiment_id = _experiment(client)
    except MlflowException as error:
        raise UserError(_remedy(uri, str(error))) from error
    return Store(client, uri, experiment_id)


def _lock_of(uri: str) -> AbstractContextManager[Any]:
    """A lock beside a SQLite file; other stores look after themselves."""
    if not uri.startswith("sqlite:///"):
        return nullcontext()
    path = Path(uri.removeprefix("sqlite:///"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the store {uri!r} cannot be created: {error}") from error
    return FileLock(f"{path}.lock", timeout=_LOCK_SECONDS)


def _experiment(client: MlflowClient) -> str:
    """The experiment that the environment names (MLflow's launcher does), else the default one."""
    if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return client.get_experiment(chosen).experiment_id
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not name:
        return "0"
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    try:
        return client.create_experiment(name)
    except MlflowException:  # another process was quicker
        if found := client.get_experiment_by_name(name):
            return found.experiment_id
        raise


def give_views(store: Store) -> None:
    """Give the experiment its saved views; a store that refuses costs only the views."""
    try:
        present = store.client.get_experiment(store.experiment_id).tags
        for name, value in experiment_tags().items():
            if present.get(name) != value:
                store.client.set_experiment_tag(store.experiment_id, name, value)
    except MlflowException:
        return


def _remedy(uri: str, reason: str) -> str:
    scheme = urlsplit(uri).scheme
    first = reason.splitlines()[0][:200]
    if scheme in ("http", "https"):
        return (
            f"no tracking server answers at {uri}; start it, or unset MLFLOW_TRACKING_URI ({first})"
        )
    if scheme in ("", "file"):
        return f"MLflow no longer writes to folders such as {uri!r}; use sqlite:///mlflow.db"
    return f"the store {uri!r} cannot be opened: {first}"
