"""The main job: find or make the original, forget, find or make the oracle, print the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entrypoints.options import DeviceOptions
from entrypoints.originals import browse, load_asked, make_original
from entrypoints.unlearn_job import Oracle, Result, Upstream, finish, rows_of, run_method
from mu.checkpoints import DataSpec, Spec
from mu.data import load_data
from mu.data.forget import ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.methods import check_method, make_method
from mu.report import console, prose
from mu.runs import pick_device
from mu.tracking import (
    ORACLE_TAG,
    Store,
    connect,
    fetch_checkpoint,
    find_oracle,
    find_original,
    finished_run,
    same_value,
    tracked,
)

if TYPE_CHECKING:
    from entrypoints.unlearn import UnlearnOptions

ORACLE_WORDS = ("find", "train", "none")


def main(
    options: UnlearnOptions,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any],
    device: DeviceOptions,
) -> None:
    """The main job; see :func:`entrypoints.unlearn.unlearn` for the arguments."""
    name = check_method(options.method)
    method = make_method(name, settings)
    request = ForgetRequest.parse(options.forget)
    pick_device(device.device)
    store = connect()
    found = _find_original(store, options.prune_run_id, asked)
    if found is None:
        dataset, recipe = load_asked(asked)
        spec = Spec(DataSpec.of(dataset), recipe)
    else:
        checkpoint = fetch_checkpoint(store, found)
        dataset, spec = _data_of(checkpoint.spec, asked), checkpoint.spec
    split = _forget_split(spec, dataset, request)
    _check_oracle_run(store, options.oracle_run_id)

    with tracked(store, "unlearn", f"{name} {options.forget}"[:20]) as recorder:
        if found is None:
            print("no finished original agrees with what is asked: making one first")
            original = make_original(store, dataset, recipe, device)
            found, checkpoint = original.run_id, original.checkpoint
        upstream = Upstream(found, checkpoint, dataset, split, options.forget, device)
        result = run_method(recorder, upstream, name, method, options.seed)
        oracle = _oracle(store, upstream, options, name)
        finish(recorder, upstream, name, result, oracle)
    _print(store, upstream, name, recorder.run_id, result, oracle)


# --- the original -------------------------------------------------------------------------


def _find_original(store: Store, prune_run_id: str, asked: Mapping[str, Any]) -> str | None:
    """The run ID of the original: the one given, or the newest that agrees, or None.

    Raises
    ------
    UserError
        If the run given holds no original, or was made otherwise than asked.
    """
    comparable = {name: value for name, value in asked.items() if name != "data_dir"}
    if prune_run_id == "auto":
        run = find_original(store, comparable)
        return None if run is None else str(run.info.run_id)
    params = finished_run(store, prune_run_id).data.params
    for name, value in comparable.items():
        if not same_value(params.get(name), value):
            raise UserError(
                f"{name}={value} contradicts run {prune_run_id}, which has "
                f"{name}={params.get(name)}; leave {name} out, or give another prune_run_id"
            )
    return prune_run_id


def _data_of(spec: Spec, asked: Mapping[str, Any]) -> ImageDataset:
    """The data of an original, from where it lay or from ``data_dir``; checked to be the same."""
    data_dir = asked.get("data_dir") or spec.data.data_dir
    dataset = load_data(spec.data.name, data_dir, spec.data.image_size)
    spec.data.check(dataset)
    return dataset


def _forget_split(spec: Spec, dataset: ImageDataset, request: ForgetRequest) -> ForgetSplit:
    parts = spec.split(dataset)
    chosen = request.select(dataset, parts, spec.recipe.split.split_seed)
    return ForgetSplit.of(dataset, parts, chosen)


# --- the oracle ---------------------------------------------------------------------------


def _check_oracle_run(store: Store, oracle_run_id: str) -> None:
    if oracle_run_id not in ORACLE_WORDS:
        tags = finished_run(store, oracle_run_id).data.tags
        if ORACLE_TAG not in tags:
            raise UserError(
                f"run {oracle_run_id} is no oracle; give a run of method=retrain, or "
                f"{', '.join(ORACLE_WORDS)}"
            )


def _oracle(
    store: Store, upstream: Upstream, options: UnlearnOptions, method: str
) -> Oracle | None:
    """The oracle asked for, found by fingerprint, trained, or none.

    Raises
    ------
    UserError
        If the run given is an oracle of other data, another forget set or another mask.
    """
    asked = options.oracle_run_id
    if asked not in ORACLE_WORDS:
        run = finished_run(store, asked)
        keys = {upstream.oracle_key(mask_from) for mask_from in ("upstream", "retain")}
        if run.data.tags[ORACLE_TAG] not in keys:
            raise UserError(
                f"run {asked} is an oracle of other data, another original or another forget "
                "set; use oracle_run_id=find or train"
            )
        return Oracle(asked, run.data.metrics)
    if asked == "none" or method == "retrain":
        return None
    found = find_oracle(store, upstream.oracle_key("upstream"))
    if found is not None:
        return Oracle(found.info.run_id, found.data.metrics)
    return _train_oracle(store, upstream) if asked == "train" else None


def _train_oracle(store: Store, upstream: Upstream) -> Oracle:
    """Retrain, in a run of its own."""
    with tracked(store, "unlearn", f"retrain {upstream.forget}"[:20]) as recorder:
        seed = upstream.checkpoint.spec.recipe.seed
        result = run_method(recorder, upstream, "retrain", make_method("retrain"), seed)
        finish(recorder, upstream, "retrain", result, None)
    return Oracle(recorder.run_id, result.metrics)


# --- what is printed ----------------------------------------------------------------------


def _print(
    store: Store,
    upstream: Upstream,
    name: str,
    run_id: str,
    result: Result,
    oracle: Oracle | None,
) -> None:
    """What an unlearn run says when it is done."""
    spec, split = upstream.checkpoint.spec, upstream.split
    original = prose.describe_model(spec, upstream.checkpoint.mask.sparsity)
    console.print_results(
        f"{name} on {original}: forget {len(split.forget)} samples ({upstream.forget}), "
        f"retain {len(split.retain)}",
        rows_of(result.metrics, oracle, name),
    )
    console.print_notes(result.run.notes)
    if oracle is None and name != "retrain":
        console.print_notes(["no oracle, so no gap; add oracle_run_id=train to make one"])
    lines = {"original": upstream.run_id, "unlearned": run_id}
    if oracle is not None:
        lines["oracle"] = oracle.run_id
    lines["mask"] = f"mlflow artifacts download -r {run_id} -a mask -d DIR"
    lines["browse"] = browse(store, "mu-unlearn")
    console.print_lines(lines)
