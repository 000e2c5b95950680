"""Earlier originals: found by run ID or by what was asked, and held against what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entrypoints.unlearn import STAGES
from mu.checkpoints import Checkpoint, Spec
from mu.cli.originals import PLAIN_NAMES
from mu.data import load_data
from mu.data.forget import ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.tracking import Store, fetch_checkpoint, find_original, same_value


def stage_of(store: Store, run_id: str, stage: str | None) -> str:
    """The run that holds the network meant: a backdoor run has two.

    Parameters
    ----------
    run_id
        An ID, or ``auto``, which is never a backdoor run's.
    stage
        ``poisoned``, the original that was attacked, or ``cleansed``; None of other runs.

    Raises
    ------
    UserError
        If it is a backdoor run and nothing says which, or the other way round.
    """
    entry = None if run_id == "auto" else store.run(run_id).data.tags.get("mu.entry")
    if entry != "backdoor":
        if stage is not None:
            raise UserError(
                f"stage={stage}: prune_run_id={run_id} is no backdoor run; leave stage out, or "
                "give the ID of one"
            )
        return run_id
    if stage is None:
        raise UserError(
            f"run {run_id} is a backdoor run, which has the poisoned original and the cleansed "
            f"network; give stage={' or stage='.join(STAGES)}"
        )
    upstream = store.run(run_id).data.tags.get("mu.upstream")
    if stage == "cleansed":
        return run_id
    if upstream is None:
        raise UserError(f"run {run_id} was stopped before its poisoned original was there")
    return str(upstream)


def find_asked(
    store: Store,
    run_id: str,
    asked: Mapping[str, Any],
    *,
    poisoned: bool = False,
) -> tuple[str, Checkpoint] | None:
    """The original of the run given, or of the newest one that agrees, or None.

    Parameters
    ----------
    run_id
        An ID or ``auto``.
    poisoned
        Whether ``auto`` means a poisoned original.

    Raises
    ------
    UserError
        If the run given holds no original, or was made otherwise than asked.
    """
    if run_id != "auto":
        return run_id, fetch_original(store, run_id, asked)
    data_dir, said = asked.get("data_dir"), said_of_original(asked)
    fingerprint = None
    if data_dir and "dataset" in said:  # two folders may go by the same name
        size, stream = said.get("image_size"), said.get("stream")
        data = load_data(said["dataset"], data_dir, size, stream=stream)
        fingerprint = data.fingerprint
    run = find_original(store, said, fingerprint, poisoned=poisoned)
    return None if run is None else (run.info.run_id, fetch_checkpoint(store, run.info.run_id))


def forget_split(spec: Spec, dataset: ImageDataset, request: ForgetRequest) -> ForgetSplit:
    """What is to be forgotten of an original with that spec."""
    parts = spec.split(dataset)
    chosen = request.select(dataset, parts, spec.recipe.split.split_seed)
    return ForgetSplit.of(dataset, parts, chosen)


def data_of(spec: Spec, given: Mapping[str, Any]) -> ImageDataset:
    """The data of an original, from where it lay or from ``data_dir``; checked to be the same."""
    data_dir = given.get("data_dir") or spec.data.data_dir
    stream, workers = spec.data.stream, given.get("workers")
    size = spec.data.image_size
    return spec.data.bind(load_data(spec.data.name, data_dir, size, stream=stream, workers=workers))


def said_of_original(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given and asks for something: ``auto`` does not, and data may move."""
    places = ("data_dir", "workers")
    return {n: v for n, v in given.items() if v not in (None, "auto") and n not in places}


def fetch_original(store: Store, run_id: str, given: Mapping[str, Any]) -> Checkpoint:
    """The original of a run.

    Raises
    ------
    UserError
        If the run holds none, or it was made otherwise than is given.
    """
    checkpoint = fetch_checkpoint(store, run_id)
    settings = checkpoint.spec.settings()
    refuse_contradictions(run_id, settings, said_of_original(given), prefix="prune_")
    return checkpoint


def refuse_contradictions(
    run_id: str, settings: Mapping[str, Any], said: Mapping[str, Any], prefix: str = ""
) -> None:
    """Refuse what was said where a run was made otherwise.

    Parameters
    ----------
    prefix
        Of the options that are not :data:`PLAIN_NAMES`, as they are typed.
    """
    for name, value in said.items():
        if value is not None and not same_value(str(settings.get(name)), value):
            typed = name if name in PLAIN_NAMES else f"{prefix}{name}"
            raise UserError(
                f"{typed}={value} contradicts run {run_id}, which has "
                f"{name}={settings.get(name)}; leave {typed} out, or name another run"
            )
