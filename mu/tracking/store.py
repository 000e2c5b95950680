"""The tracking store: found, created once, and searched for runs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Experiment, ViewType
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.entities.paged_list import PagedList
from mlflow.tracking import MlflowClient

from mu.distributed.group import from_first
from mu.distributed.place import place
from mu.errors import UserError
from mu.tags import ERROR
from mu.tracking import postgres
from mu.tracking.address import hidden, is_database, shown
from mu.tracking.silent import SilentClient

# MLflow's own patience with a server that is down is about four minutes. The first request finds
# that out at once, or in 20 s where nothing answers at all; later ones outlast a short failure.
_AT_FIRST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_LATER = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_LOCK_SECONDS = 120
_SQLITE = b"SQLite format 3\0"  # how every such file begins, unless it is empty
# What goes wrong is raised, too, and said in a line; this logger adds a page to each. That a store
# is made, which takes a second, it need not say.
logging.getLogger("mlflow.store.db.utils").disabled = True
PAGE = 50  # runs a request
ID_DIGITS = 32  # of a run's ID
FEWEST_DIGITS = 4  # of an ID that is shortened
MOST_NAMED = 4  # of the runs whose IDs begin alike
FINISHED: Final = "attributes.status = 'FINISHED'"
UNFINISHED: Final = "attributes.status != 'FINISHED'"
RUNNING: Final = "attributes.status = 'RUNNING'"


@dataclass(frozen=True)
class Store:
    """A tracking store and the experiment in use; no global state of MLflow is used."""

    client: MlflowClient
    uri: str  # the tracking URI
    experiment_id: str  # where new runs go and earlier ones are looked for
    pages: str = ""  # the address at which it is browsed, where that is not its own

    def run(self, run_id: str) -> MlflowRun:
        """The run of that ID, whatever its state.

        UserError if there is none, it was deleted, or the store does not answer.
        """
        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise failure(self.uri, error) from error
            raise UserError(
                f"there is no run {run_id!r} in {shown(self.uri)}; copy an ID from the MLflow "
                "page, or set MLFLOW_TRACKING_URI to the store that holds it"
            ) from error
        if found.info.lifecycle_stage != "active":
            raise UserError(
                f"run {run_id} was deleted; restore it: mlflow runs restore --run-id {run_id}"
            )
        return found

    def full_id(self, run_id: str) -> str:
        """The whole ID of a run of the experiment, of which the first digits may be given.

        A text that is as long as an ID is given back as it is. UserError if there is no run whose
        ID begins so, or there are several.
        """
        if len(run_id) >= ID_DIGITS:
            return run_id
        if len(run_id) < FEWEST_DIGITS:
            raise UserError(f"run {run_id!r}: give at least {FEWEST_DIGITS} digits of its ID")
        found: list[MlflowRun] = []
        if run_id.isalnum():
            found = list(self.search(f"attributes.run_id LIKE '{run_id}%'"))
        if not found:
            raise UserError(
                f"no run of the experiment begins with {run_id!r}; `mu runs` lists them, and "
                "MLFLOW_TRACKING_URI names the store"
            )
        if len(found) > 1:
            names = [f"{run.info.run_id} {run.info.run_name}".strip() for run in found]
            more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            raise UserError(
                f"{len(names)} runs begin with {run_id!r} ({', '.join(names[:MOST_NAMED])}{more}); "
                "give more digits"
            )
        return str(found[0].info.run_id)

    def close(self, run_id: str, status: str, reason: str) -> None:
        """End a run as FAILED or KILLED; the first line of ``reason`` is kept in a tag."""
        self.client.set_tag(run_id, ERROR, next(iter(reason.splitlines()), "")[:500])
        self.client.set_terminated(run_id, status)

    def find(self, tags: Mapping[str, str], *conditions: str) -> Iterator[MlflowRun]:
        """:meth:`search` for runs that have these tags and meet all of MLflow's ``conditions``."""
        wanted = (f"tags.`{name}` = '{value}'" for name, value in tags.items())
        return self.search(" and ".join([*wanted, *conditions]))

    def search(self, query: str) -> Iterator[MlflowRun]:
        """Undeleted runs of the experiment that match MLflow's ``query``, newest first.

        Of several ranks the first one looks, since the store may change in between; so all of them
        take as many. UserError if the store does not answer.
        """
        token = None
        while True:
            page = from_first(partial(self._page, query, token))
            yield from page
            if not (token := page.token):
                return

    def _page(self, query: str, token: str | None) -> PagedList[MlflowRun]:
        with self.answers():
            return self.client.search_runs(
                [self.experiment_id],
                query,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )

    @contextmanager
    def answers(self) -> Iterator[None]:
        """What the store refuses in the block becomes a :class:`UserError` that says why."""
        try:
            yield
        except MlflowException as error:
            raise failure(self.uri, error) from error

    def alone(self) -> AbstractContextManager[Any]:
        """Keep other processes from writing, as far as they ask; not those of a server."""
        return _lock_of(self.uri)

    def artifacts(self, run_id: str, folder: str | None = None) -> list[str]:
        """Paths of the artifacts in a folder of a run."""
        with self.answers():
            return [one.path for one in self.client.list_artifacts(run_id, folder)]


def connect(uri: str | None = None) -> Store:
    """Open the store, creating a local one if it is not there yet.

    Two processes that create a fresh store at once ruin it, so it is opened under a lock, beside
    the SQLite file or in the database. ``uri``: default: ``MLFLOW_TRACKING_URI``, or
    ``sqlite:///mlflow.db`` in the current folder. UserError if no server answers, the store cannot
    be opened, or it is a file of this machine and there are processes on others.
    """
    uri = str(uri or mlflow.get_tracking_uri())
    if not place().one_machine and uri.startswith("sqlite:"):
        raise UserError(
            f"the store {uri!r} is a file of one machine, but there are processes on several; "
            "start a server (mlflow server) and set MLFLOW_TRACKING_URI to it"
        )
    try:
        _check_file(uri)
        with _defaults(_AT_FIRST), _lock_of(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            experiment_id = _experiment(client)
            if not place().is_first:
                client = SilentClient(uri)
    except UserError:
        raise
    except Exception as error:  # of MLflow, or of whichever driver stands behind the URI
        raise failure(uri, error) from error
    for name, value in _LATER.items():
        os.environ.setdefault(name, value)
    return Store(client, uri, experiment_id)


@contextmanager
def _defaults(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the block, where the user has set no other value."""
    added = [name for name in values if name not in os.environ or os.environ[name] == _LATER[name]]
    before = {name: os.environ.get(name) for name in added}
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _file_of(uri: str) -> Path | None:
    """The SQLite file of a store that is one."""
    if not uri.startswith("sqlite:///"):
        return None
    # MLflow percent-encodes the path of its default store.
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0]))


def _check_file(uri: str) -> None:
    """Refuse at once a file that is no database: MLflow would try ten times, for 100 seconds."""
    path = _file_of(uri)
    if path is None or not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(len(_SQLITE))
    if start and start != _SQLITE:
        raise UserError(
            f"the store {uri!r} cannot be used: {path} is not a SQLite database; name another "
            "file in MLFLOW_TRACKING_URI"
        )


def _lock_of(uri: str) -> AbstractContextManager[Any]:
    """A lock beside a SQLite file, or in a database; servers look after themselves."""
    if is_database(uri):
        return postgres.alone(uri, _LOCK_SECONDS)
    path = _file_of(uri)
    if path is None:
        return nullcontext()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    lock.touch()  # says at once where no file can be made; the lock itself would wait for it
    return FileLock(lock, timeout=_LOCK_SECONDS)


def _experiment(client: MlflowClient) -> str:
    """The experiment that the environment names (MLflow's launcher does), else the default one."""
    if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        try:
            return active(client.get_experiment(chosen))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise UserError(
                f"there is no experiment MLFLOW_EXPERIMENT_ID={chosen} in the store; unset it, or "
                "name one with MLFLOW_EXPERIMENT_NAME"
            ) from error
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not name:
        return "0"
    if found := client.get_experiment_by_name(name):
        return active(found)
    try:
        return client.create_experiment(name)
    except MlflowException:  # another process was quicker
        if found := client.get_experiment_by_name(name):
            return active(found)
        raise


def active(experiment: Experiment) -> str:
    """Its ID, if the experiment was not deleted; else a :class:`UserError`."""
    number = str(experiment.experiment_id)
    if experiment.lifecycle_stage != "active":
        raise UserError(
            f"the experiment {experiment.name!r} was deleted; restore it: mlflow experiments "
            f"restore --experiment-id {number}"
        )
    return number


def failure(uri: str, error: Exception) -> UserError:
    """What a store's failure means to the user, with a remedy, and without a password."""
    scheme = urlsplit(uri).scheme
    why = next(iter(str(error).splitlines()), type(error).__name__)
    if isinstance(error, Timeout):
        text = f"another process has held {error.lock_file} for {_LOCK_SECONDS} s; end it"
    elif scheme in ("", "file"):
        text = (
            f"MLflow no longer writes to folders such as {uri!r}; "
            "set MLFLOW_TRACKING_URI=sqlite:///mlflow.db"
        )
    elif is_database(uri):
        text = f"the store {uri!r} cannot be used: {postgres.words_on(error)}"
    elif scheme not in ("http", "https"):
        text = f"the store {uri!r} cannot be used: {why[:200]}"
    elif isinstance(error, RestException):
        text = f"the tracking server at {uri} refuses: {why[:200]}"
    else:
        text = (
            f"no tracking server answers at {uri}{_cause(why)}; start it, or unset "
            "MLFLOW_TRACKING_URI"
        )
    return UserError(hidden(text, uri))


def reason(uri: str, error: BaseException) -> str:
    """Why something failed, in words for the user, whoever raised it, and without a password."""
    if isinstance(error, MlflowException):
        return str(failure(uri, error))
    return hidden(str(error) or type(error).__name__, uri)


def _cause(reason: str) -> str:
    """The part of a long message about a connection that says something."""
    found = re.search(r"\[Errno -?\d+\] ([\w -]+)|(timed out)|error code (\d+)", reason)
    return f" ({next(filter(None, found.groups()))})" if found else ""
