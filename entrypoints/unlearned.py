"""An unlearn run that is looked at again: its original, its forget set and its oracle."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.found_originals import data_of
from entrypoints.unlearn_job import Upstream
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetSplit
from mu.errors import UserError
from mu.methods import check_method, make_method, method_class
from mu.methods.base import Method
from mu.tracking import (
    ORACLE_TAG,
    Store,
    connect,
    fetch_checkpoint,
    fetch_forget,
    find_oracle,
    finished_run,
)
from mu.tracking.artifacts import download

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

ORACLE_WORDS = ("find", "train", "none")


def unlearn_run(store: Store, run_id: str) -> MlflowRun:
    """The run of that ID, or with ``auto`` the newest finished unlearn run that is no oracle.

    Raises
    ------
    UserError
        If there is none, or it is no finished unlearn run.
    """
    if run_id == "auto":
        for run in store.search("tags.`mu.entry` = 'unlearn' and attributes.status = 'FINISHED'"):
            if ORACLE_TAG not in run.data.tags and "mu.spec" in run.data.tags:
                return run
        raise UserError(
            "unlearn_run_id=auto: there is no finished unlearn run; make one: "
            "mlflow run . -e unlearn"
        )
    entry = store.run(run_id).data.tags.get("mu.entry", "unknown")
    if entry != "unlearn":
        raise UserError(
            f"run {run_id} (entry {entry}) has unlearned nothing; give the ID of a run of unlearn"
        )
    return finished_run(store, run_id)


def method_of(store: Store, run: MlflowRun) -> tuple[str, Method]:
    """How a run unlearned, by its name and with its hyperparameters.

    Raises
    ------
    UserError
        If the run does not say it.
    """
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        text = download(store, run, "config.json", Path(scratch)).read_text(errors="replace")
    try:
        config = dict(json.loads(text))
        name = check_method(str(config["method"]))
        settings = {one: config[one] for one in method_class(name).names()}
        return name, make_method(name, settings)
    except (ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(
            f"config.json of run {run_id} does not say how it unlearned ({error}); "
            "unlearn again, and take that run"
        ) from error


def method_of_run(run_id: str) -> str:
    """The name of the method of a finished unlearn run, by its ID or ``auto``.

    Raises
    ------
    UserError
        If it is no finished unlearn run.
    """
    store = connect()
    return method_of(store, unlearn_run(store, run_id))[0]


def upstream_of(
    store: Store, run: MlflowRun, device: DeviceOptions, data_dir: str | None
) -> Upstream:
    """The original that a finished unlearn run started from, and what it forgot of it.

    Raises
    ------
    UserError
        If something that it handed on is missing or does not fit.
    """
    original_id = run.data.tags.get("mu.upstream", "")
    original = fetch_checkpoint(store, original_id)
    dataset = data_of(original.spec, {"data_dir": data_dir})
    split = ForgetSplit.of(dataset, original.spec.split(dataset), fetch_forget(store, run))
    forget = run.data.params.get("forget", "indices")
    return Upstream(original_id, original, dataset, split, forget, device)


def oracle_of(
    store: Store,
    asked: str,
    upstream: Upstream,
    linked: str | None = None,
    but: str | None = None,
) -> str | None:
    """The run of the oracle: the one given, that of the unlearn run, or one by fingerprint.

    Parameters
    ----------
    asked
        ``find``, ``none`` or an ID.
    linked
        The oracle that the unlearn run was compared with; it may have been deleted since.
    but
        A run that is not found: the one that is looked at, which may be an oracle itself.

    Raises
    ------
    UserError
        If the run given cannot be the oracle, or one is to be trained.
    """
    if asked == "none":
        return None
    if asked == "train":
        raise UserError(
            "oracle_run_id=train: only unlearn trains oracles; give find, none, or an ID, and make "
            "one with mlflow run . -e unlearn -P method=retrain"
        )
    if asked != "find":
        check_oracle_run(store, asked, upstream, hint="find, none or another ID")
        return asked
    if linked is not None:
        try:
            return str(finished_run(store, linked).info.run_id)
        except UserError:  # it was deleted since
            pass
    found = find_oracle(store, upstream.oracle_key("upstream"), but=but)
    return None if found is None else str(found.info.run_id)


def check_oracle_run(
    store: Store, oracle_run_id: str, upstream: Upstream | None, hint: str = "find or train"
) -> None:
    """Refuse a run that is no oracle, or one of another job (once the original is known).

    Parameters
    ----------
    hint
        What may be given instead.

    Raises
    ------
    UserError
        If the run given cannot be the oracle.
    """
    if oracle_run_id in ORACLE_WORDS:
        return
    key = finished_run(store, oracle_run_id).data.tags.get(ORACLE_TAG)
    if key is None:
        raise UserError(
            f"run {oracle_run_id} is no oracle; give a run of method=retrain, or {hint}"
        )
    if upstream and key not in {upstream.oracle_key(one) for one in ("upstream", "retain")}:
        raise UserError(
            f"run {oracle_run_id} is an oracle of other data, another original or another "
            f"forget set; use oracle_run_id={hint}"
        )
