"""From run IDs and words to what they stand for: originals, data, forget sets, methods, oracles.

What is not there, does not fit or contradicts the run named is refused with a UserError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mu import tags
from mu.checkpoints import Checkpoint, Spec
from mu.cli.requests import ORACLE_WORDS, PLAIN_NAMES, STAGES, DataOptions, DeviceOptions
from mu.data import load_data
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset
from mu.data.wrong_label_options import WrongLabelOptions
from mu.data.wrong_labels import spelled
from mu.errors import UserError
from mu.run_record import RunRecord
from mu.tasks.problem import TrackedModel, UnlearningProblem
from mu.tracking import (
    Store,
    checkpoint_of,
    connect,
    fetch_checkpoint,
    find_oracle,
    find_original,
    finished_run,
    same_value,
)
from mu.tracking.reader import read_unlearned


def load_requested(given: Mapping[str, Any]) -> tuple[ImageDataset, dict[str, Any]]:
    """The data that was requested, and what was given apart from it."""
    data = DataOptions.of({n: given[n] for n in DataOptions.names() if n in given})
    rest = {name: value for name, value in given.items() if name not in DataOptions.names()}
    more: dict[str, Any] = {"stream": data.stream, "workers": data.workers}
    return load_data(data.dataset, data.data_dir, data.image_size, **more), rest


def data_of(spec: Spec, given: Mapping[str, Any]) -> ImageDataset:
    """The data of an original, from where it lay or from ``data_dir``; checked to be the same."""
    data_dir = given.get("data_dir") or spec.data.data_dir
    more: dict[str, Any] = {"stream": spec.data.stream, "workers": given.get("workers")}
    return spec.data.bind(load_data(spec.data.name, data_dir, spec.data.image_size, **more))


def stage_of(store: Store, run_id: str, stage: str | None) -> str:
    """The run that holds the network meant, by an ID or ``auto``: a backdoor run has two."""
    entry = None if run_id == "auto" else store.run(run_id).data.tags.get(tags.ENTRY)
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
    if stage == "cleansed":
        return run_id
    upstream = store.run(run_id).data.tags.get(tags.UPSTREAM)
    if upstream is None:
        raise UserError(f"run {run_id} was stopped before its poisoned original was there")
    return str(upstream)


def find_requested(
    store: Store, run_id: str, given: Mapping[str, Any], *, poisoned: bool = False
) -> TrackedModel | None:
    """The original of the run given, or with ``auto`` the newest (poisoned) one that agrees."""
    if run_id != "auto":
        return TrackedModel(run_id, fetch_original(store, run_id, given))
    data_dir, wanted = given.get("data_dir"), settings_given(given)
    fingerprint = None
    if data_dir and "dataset" in wanted:  # two folders may go by the same name
        fingerprint = load_requested({**wanted, "data_dir": data_dir})[0].fingerprint
    if "confusion" in wanted:  # its classes may be named
        wanted = spelled(wanted, load_requested({**wanted, "data_dir": data_dir})[0])
    poisoned = poisoned or not wanted.keys().isdisjoint(WrongLabelOptions.names())
    run = find_original(store, wanted, fingerprint, poisoned=poisoned)
    return None if run is None else tracked_model(store, run.info.run_id)


def tracked_model(store: Store, run_id: str) -> TrackedModel:
    """The network of a finished run, with its numbers."""
    run = finished_run(store, run_id)
    return TrackedModel(run_id, checkpoint_of(store, run), run.data.metrics)


def settings_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given and requests something: ``auto`` does not, and data may move."""
    places = ("data_dir", "workers")
    return {n: v for n, v in given.items() if v not in (None, "auto") and n not in places}


def fetch_original(store: Store, run_id: str, given: Mapping[str, Any]) -> Checkpoint:
    """The original of a run; UserError if it was made otherwise than is given."""
    checkpoint = fetch_checkpoint(store, run_id)
    wanted = spelled(settings_given(given), checkpoint.spec.data)
    refuse_contradictions(run_id, checkpoint.spec.settings(), wanted, "prune_")
    return checkpoint


def refuse_contradictions(
    run_id: str, settings: Mapping[str, Any], given: Mapping[str, Any], prefix: str = ""
) -> None:
    """Refuse what is given where a run was made otherwise; all but plain names have a prefix."""
    for name, value in given.items():
        if value is not None and not same_value(str(settings.get(name)), value):
            typed = name if name in PLAIN_NAMES else f"{prefix}{name}"
            raise UserError(
                f"{typed}={value} contradicts run {run_id}, which has "
                f"{name}={settings.get(name)}; leave {typed} out, or name another run"
            )


def method_of_run(run_id: str) -> str:
    """The name of the method of a finished unlearn run, by its ID or ``auto``."""
    return unlearn_run(connect(), run_id).method


def unlearn_run(store: Store, run_id: str) -> RunRecord:
    """The run of that ID, or with ``auto`` the newest finished unlearn run that is no oracle."""
    return read_unlearned(store, run_id, ("unlearn",))


def problem_of(
    store: Store,
    run: RunRecord,
    device: DeviceOptions,
    data_dir: str | None,
    dataset: ImageDataset | None = None,
) -> UnlearningProblem:
    """The original that a finished unlearn run started from, and what it forgot of it.

    ``dataset``: the data, where it is loaded already.
    """
    original_id = run.upstream_run_id or ""
    original = fetch_checkpoint(store, original_id)
    dataset = dataset or data_of(original.spec, {"data_dir": data_dir})
    split = ForgetSplit.of(dataset, original.spec.split(dataset), run.forget_indices)
    return UnlearningProblem(original_id, original, dataset, split, run.forget_request, device)


def oracle_of(
    store: Store,
    requested: str,
    problem: Callable[[], UnlearningProblem],
    linked: str | None = None,
    but: str | None = None,
) -> str | None:
    """The run of the oracle: the one given, that of the unlearn run, or one by fingerprint.

    ``problem`` is called where its data is needed: not for ``linked``, the oracle that the unlearn
    run was compared with, which may have been deleted since. The run ``but`` is not found: the one
    that is measured, which may be an oracle itself.
    """
    if requested == "none":
        return None
    if requested == "train":
        raise UserError(
            "oracle_run_id=train: only unlearn trains oracles; give find, none, or an ID, and make "
            "one with mlflow run . -e unlearn -P method=retrain"
        )
    if linked is not None and requested in ("find", linked):
        with suppress(UserError):  # it was deleted since
            return str(finished_run(store, linked).info.run_id)
    if requested != "find":
        check_oracle_run(store, requested, problem(), hint="find, none or another ID")
        return requested
    found = find_oracle(store, problem().oracle_key("upstream"), but=but)
    return None if found is None else str(found.info.run_id)


def check_oracle_run(
    store: Store, oracle_run_id: str, problem: UnlearningProblem | None, hint: str = "find or train"
) -> None:
    """Refuse a run that is no oracle, or one of another problem (once the original is known)."""
    if oracle_run_id in ORACLE_WORDS:
        return
    key = finished_run(store, oracle_run_id).data.tags.get(tags.ORACLE_KEY)
    if key is None:
        raise UserError(
            f"run {oracle_run_id} is no oracle; give a run of method=retrain, or {hint}"
        )
    if problem and key not in {problem.oracle_key(one) for one in ("upstream", "retain")}:
        raise UserError(
            f"run {oracle_run_id} is an oracle of other data, another original or another "
            f"forget set; use oracle_run_id={hint}"
        )
