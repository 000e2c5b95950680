"""What an earlier run handed on: taken only from a finished run, and only as it was logged."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from mu.checkpoints import MASK_FILE, SPEC_FILE, WEIGHTS_FILE, Checkpoint
from mu.data.forget import indices_digest
from mu.data.images import Indices
from mu.errors import UserError
from mu.masks import Mask
from mu.tracking.lineage import FINGERPRINT_DIGITS
from mu.tracking.store import Store, connect

if TYPE_CHECKING:
    from torch import nn

UNLEARNED = ("unlearn", "backdoor")  # entries whose runs hold a network that has forgotten
ORIGINALS = ("prune", *UNLEARNED)
TRANSFERRED = "transfer"  # whose runs hold a network that was trained on for other data
FORGET_FILE = "forget/indices.npy"
TAG_OF = {WEIGHTS_FILE: "mu.weights", MASK_FILE: "mu.mask", SPEC_FILE: "mu.spec"}


def fingerprint_tags(digests: dict[str, str]) -> dict[str, str]:
    """Tags for the sha256 of a hand-over's files."""
    return {TAG_OF[name]: fingerprint_tag(digest) for name, digest in digests.items()}


def fingerprint_tag(digest: str) -> str:
    """A sha256 (hex) as tags show it."""
    return digest[:FINGERPRINT_DIGITS]


def finished_run(store: Store, run_id: str, *, transferred: bool = False) -> MlflowRun:
    """The run of that ID, if it is finished and holds an original.

    Parameters
    ----------
    transferred
        Whether it may hold a network that was trained on for other data, too.

    Raises
    ------
    UserError
        If it is unknown, deleted, not finished, or of an entry that makes no original.
    """
    run = store.run(run_id)
    entry = run.data.tags.get("mu.entry", "unknown")
    if run.info.status != "FINISHED":
        why = run.data.tags.get("mu.error")
        raise UserError(
            f"run {run_id} is {run.info.status}{f' ({why})' if why else ''}; "
            "give the ID of a FINISHED run"
        )
    if entry == TRANSFERRED and not transferred:
        raise UserError(
            f"run {run_id} (entry {entry}) holds a network that was trained on for other data, so "
            f"it is no original; give the ID of a run of {', '.join(ORIGINALS)}"
        )
    if entry not in (*ORIGINALS, TRANSFERRED) or "mu.spec" not in run.data.tags:
        raise UserError(
            f"run {run_id} (entry {entry}) holds no network; give the ID of a run of "
            f"{', '.join(ORIGINALS)}"
        )
    return run


def download(store: Store, run: MlflowRun, path: str, folder: Path) -> Path:
    """Fetch one artifact file of a run to ``folder / path`` and check it against its tag.

    Raises
    ------
    UserError
        If it cannot be fetched, or its sha256 is not the one logged.
    """
    run_id = run.info.run_id
    target = folder / path
    try:
        found = Path(
            download_artifacts(
                run_id=run_id,
                artifact_path=path,
                dst_path=str(target.parent),  # MLflow drops the folders of ``path``
                tracking_uri=store.uri,
            )
        )
        content = found.read_bytes()
        if found != target:
            found.replace(target)
    except (MlflowException, OSError) as error:
        raise UserError(f"run {run_id} has no readable artifact {path}: {error}") from error
    tag = TAG_OF.get(path)
    if tag and fingerprint_tag(hashlib.sha256(content).hexdigest()) != run.data.tags.get(tag):
        raise UserError(
            f"{path} of run {run_id} is damaged: its sha256 is not the one in the run's tag {tag}; "
            "make the run again"
        )
    return target


def fetch_forget(store: Store, run: MlflowRun) -> Indices:
    """The sample numbers that an unlearn run has forgotten, sorted.

    Raises
    ------
    UserError
        If they cannot be read, or are not those of the run's tag.
    """
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        path = download(store, run, FORGET_FILE, Path(scratch))
        try:
            numbers = np.asarray(np.load(path, allow_pickle=False), np.int64).reshape(-1)
        except (ValueError, OSError, EOFError) as error:
            raise UserError(f"{FORGET_FILE} of run {run_id} is damaged: {error}") from error
    if fingerprint_tag(indices_digest(numbers)) != run.data.tags.get("mu.forget"):
        raise UserError(
            f"{FORGET_FILE} of run {run_id} is damaged: it is not what the tag mu.forget says; "
            "make the run again"
        )
    return numbers


def load_checkpoint(run_id: str, tracking_uri: str | None = None) -> Checkpoint:
    """The model, mask and spec that a run handed on, checked, on the CPU.

    Parameters
    ----------
    run_id
        Of a finished prune, unlearn, backdoor or transfer run.
    tracking_uri
        Default: as :func:`mu.tracking.connect` finds it.
    """
    return fetch_checkpoint(connect(tracking_uri), run_id, transferred=True)


def fetch_checkpoint(store: Store, run_id: str, *, transferred: bool = False) -> Checkpoint:
    """:func:`load_checkpoint`, from an open store; ``transferred`` as in :func:`finished_run`."""
    run = finished_run(store, run_id, transferred=transferred)
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        for path in (SPEC_FILE, WEIGHTS_FILE, MASK_FILE):
            download(store, run, path, Path(scratch))
        return Checkpoint.load(Path(scratch))


def load_model(run_id: str, tracking_uri: str | None = None) -> nn.Module:
    """The network that a run handed on, in evaluation mode, on the CPU.

    It expects images normalised by the checkpoint's ``spec.data.mean`` and ``std``.
    """
    return load_checkpoint(run_id, tracking_uri).model


def load_mask(run_id: str, tracking_uri: str | None = None) -> Mask:
    """The mask that a run handed on; its weights are not fetched."""
    return fetch_mask(connect(tracking_uri), run_id)


def fetch_mask(store: Store, run_id: str) -> Mask:
    """:func:`load_mask`, from an open store."""
    run = finished_run(store, run_id, transferred=True)
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        return Mask.load(download(store, run, MASK_FILE, Path(scratch)))
