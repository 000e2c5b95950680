"""The artifacts of an earlier run: taken only from a finished run, and only as it was logged."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from mu.checkpoints import MASK_FILE, SPEC_FILE, WEIGHTS_FILE, Checkpoint
from mu.errors import UserError
from mu.masks import Mask
from mu.tags import ENTRY, ERROR, MASK, SPEC, WEIGHTS, fingerprint_tag
from mu.tracking.store import Store, connect

if TYPE_CHECKING:
    from torch import nn

UNLEARNED = ("unlearn", "backdoor")  # entries whose runs hold a network that has forgotten
ORIGINALS = ("prune", *UNLEARNED)
TRANSFERRED = "transfer"  # whose runs hold a network that was trained on for other data
TAG_OF = {WEIGHTS_FILE: WEIGHTS, MASK_FILE: MASK, SPEC_FILE: SPEC}


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


def download(store: Store, run: MlflowRun, path: str, folder: Path) -> Path:
    """Fetch one artifact file of a run to ``folder / path`` and check it against its tag.

    UserError if it cannot be fetched, or its sha256 is not the one logged.
    """
    target = folder / path
    try:
        found = Path(
            download_artifacts(
                run_id=run.info.run_id,
                artifact_path=path,
                dst_path=str(target.parent),  # MLflow drops the folders of ``path``
                tracking_uri=store.uri,
            )
        )
        content = found.read_bytes()
        if found != target:
            found.replace(target)
    except (MlflowException, OSError) as error:
        raise _unreadable(run, path, error) from error
    _check(run, path, content)
    return target


def read(store: Store, run: MlflowRun, path: str) -> bytes:
    """The bytes of :func:`download`; of this machine's artifacts without a copy."""
    if not is_local_uri(run.info.artifact_uri):
        with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
            return download(store, run, path, Path(scratch)).read_bytes()
    try:
        content = (Path(local_file_uri_to_path(run.info.artifact_uri)) / path).read_bytes()
    except OSError as error:
        raise _unreadable(run, path, error) from error
    _check(run, path, content)
    return content


def _unreadable(run: MlflowRun, path: str, error: Exception) -> UserError:
    return UserError(f"run {run.info.run_id} has no readable artifact {path}: {error}")


def _check(run: MlflowRun, path: str, content: bytes) -> None:
    tag = TAG_OF.get(path)
    if tag and fingerprint_tag(hashlib.sha256(content).hexdigest()) != run.data.tags.get(tag):
        raise UserError(
            f"{path} of run {run.info.run_id} is damaged: its sha256 is not the one in the run's "
            f"tag {tag}; make the run again"
        )


def load_checkpoint(run_id: str, tracking_uri: str | None = None) -> Checkpoint:
    """The model, mask and spec of a finished prune, unlearn, backdoor or transfer run, on the CPU.

    ``tracking_uri``: default: as :func:`mu.tracking.connect` finds it.
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
    """The network that a run logged, in evaluation mode, on the CPU.

    It expects images normalised by the checkpoint's ``spec.data.mean`` and ``std``.
    """
    return load_checkpoint(run_id, tracking_uri).model


def load_mask(run_id: str, tracking_uri: str | None = None) -> Mask:
    """The mask that a run logged; its weights are not fetched."""
    return fetch_mask(connect(tracking_uri), run_id)


def fetch_mask(store: Store, run_id: str) -> Mask:
    """:func:`load_mask`, from an open store."""
    run = finished_run(store, run_id, transferred=True)
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        return Mask.load(download(store, run, MASK_FILE, Path(scratch)))
