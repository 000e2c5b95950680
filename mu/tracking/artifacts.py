"""The artifacts of an earlier run: taken only from a finished run, and only as it was logged."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_USER

from mu.errors import UserError
from mu.file_names import MASK_FILE, SPEC_FILE, WEIGHTS_FILE
from mu.run_record import SUSPECTS_FILE
from mu.tags import COMMIT, ENTRY, ERROR, MASK, SPEC, SUSPECTS, WEIGHTS, fingerprint_tag
from mu.tracking.address import hidden
from mu.tracking.lifecycle import commit_tags
from mu.tracking.registered import run_of
from mu.tracking.run_files import RunFiles
from mu.tracking.store import Store, connect
from mu.trust import NONE, Trusts, named, words

if TYPE_CHECKING:
    from torch import nn

    from mu.checkpoints import Checkpoint
    from mu.masks import Mask

UNLEARNED = ("unlearn", "backdoor")  # entries whose runs hold a network that has forgotten
ORIGINALS = ("prune", *UNLEARNED)
TRANSFERRED = "transfer"  # whose runs hold a network that was trained on for other data
TAG_OF = {SPEC_FILE: SPEC, WEIGHTS_FILE: WEIGHTS, MASK_FILE: MASK}  # of a network's files
CHECKED = {**TAG_OF, SUSPECTS_FILE: SUSPECTS}


def fingerprint_tags(digests: dict[str, str]) -> dict[str, str]:
    """Tags for the sha256 of a hand-over's files."""
    return {TAG_OF[name]: fingerprint_tag(digest) for name, digest in digests.items()}


def finished_run(store: Store, run_id: str, *, transferred: bool = False) -> MlflowRun:
    """The run of that ID, if it is finished and holds an original.

    ``transferred``: whether it may hold a network that was trained on for other data, too.
    UserError if it is unknown, deleted, not finished, or of an entry that makes no original.
    """
    run = store.run(run_id)
    check_network(run, transferred=transferred)
    return run


def check_network(run: MlflowRun, *, transferred: bool = False) -> None:
    """Refuse a run that :func:`finished_run` would not give, as it does."""
    run_id, tags = run.info.run_id, run.data.tags
    entry = tags.get(ENTRY, "unknown")
    if run.info.status != "FINISHED":
        why = tags.get(ERROR)
        raise UserError(
            f"run {run_id} is {run.info.status}{f' ({why})' if why else ''}; "
            "give the ID of a FINISHED run"
        )
    if entry == TRANSFERRED and not transferred:
        raise UserError(
            f"run {run_id} (entry {entry}) holds a network that was trained on for other data, so "
            f"it is no original; give the ID of a run of {', '.join(ORIGINALS)}"
        )
    if entry not in (*ORIGINALS, TRANSFERRED) or SPEC not in tags:
        raise UserError(
            f"run {run_id} (entry {entry}) holds no network; give the ID of a run of "
            f"{', '.join(ORIGINALS)}"
        )


def read(store: Store, run: MlflowRun, path: str) -> bytes:
    """One artifact file of a run, checked against its tag where it has one.

    UserError if it cannot be read, or its sha256 is not the one logged.
    """
    try:
        with RunFiles(store, run.info.run_id, run.info.artifact_uri).fetched(path) as file:
            content = file.read_bytes()
    except (MlflowException, OSError) as error:
        raise UserError(
            f"run {run.info.run_id} has no readable artifact {path}: "
            f"{hidden(str(error), store.uri)}"
        ) from error
    tag = CHECKED.get(path)
    if tag and fingerprint_tag(hashlib.sha256(content).hexdigest()) != run.data.tags.get(tag):
        raise UserError(
            f"{path} of run {run.info.run_id} is damaged: its sha256 is not the one in the run's "
            f"tag {tag}; make the run again"
        )
    return content


def trusted_by(run: MlflowRun, more: str = "") -> Trusts:
    """Whose functions a run's spec may name: those trusted by name, and all if the run is mine.

    That is, if its tags name this user and the commit that is running. Tags are what whoever writes
    to the store says: see docs/running.md. ``more``: names, beside those of ``MU_TRUST``.
    """
    by_name = named(more)
    return lambda name: by_name(name) or _is_mine(run)


def _is_mine(run: MlflowRun) -> bool:
    tags, user = run.data.tags, resolve_tags().get(MLFLOW_USER)
    same = user is not None and tags.get(MLFLOW_USER) == user
    return same and tags.get(COMMIT) == commit_tags().get(COMMIT) and NONE not in words()


@contextmanager
def _files(store: Store, run: MlflowRun, *paths: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        for path in paths:
            target = Path(scratch) / path
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(read(store, run, path))
        yield Path(scratch)


def load_checkpoint(run_id: str, tracking_uri: str | None = None, trust: str = "") -> Checkpoint:
    """The model, mask and spec of a finished prune, unlearn, backdoor or transfer run, on the CPU.

    Where a function of a package builds the network, it is called only if you made the run, by the
    same commit of mu, or trust the function: else a UserError says how. ``tracking_uri``: default:
    as :func:`mu.tracking.connect` finds it. ``trust``: names of functions, or of the modules that
    hold them, with commas, beside those of ``MU_TRUST``.
    """
    store = connect(tracking_uri)
    return fetch_checkpoint(store, run_of(store, run_id), transferred=True, trust=trust)


def fetch_checkpoint(
    store: Store, run_id: str, *, transferred: bool = False, trust: str = ""
) -> Checkpoint:
    """:func:`load_checkpoint`, from an open store; ``transferred`` as in :func:`finished_run`."""
    return checkpoint_of(store, finished_run(store, run_id, transferred=transferred), trust)


def checkpoint_of(store: Store, run: MlflowRun, trust: str = "") -> Checkpoint:
    """The network of a run that :func:`finished_run` gave.

    ``trust``: as of :func:`load_checkpoint`.
    """
    from mu.checkpoints import Checkpoint  # loads torch

    with _files(store, run, *TAG_OF) as folder:
        return Checkpoint.load(folder, trusted_by(run, trust))


def load_model(run_id: str, tracking_uri: str | None = None, trust: str = "") -> nn.Module:
    """The network that a run logged, in evaluation mode, on the CPU; see :func:`load_checkpoint`.

    It expects images normalised by the checkpoint's ``spec.data.mean`` and ``std``.
    """
    return load_checkpoint(run_id, tracking_uri, trust).model


def load_mask(run_id: str, tracking_uri: str | None = None) -> Mask:
    """The mask that a run logged; its weights are not fetched."""
    store = connect(tracking_uri)
    return fetch_mask(store, run_of(store, run_id))


def fetch_mask(store: Store, run_id: str) -> Mask:
    """:func:`load_mask`, from an open store."""
    from mu.masks import Mask  # loads torch

    with _files(store, finished_run(store, run_id, transferred=True), MASK_FILE) as folder:
        return Mask.load(folder / MASK_FILE)
