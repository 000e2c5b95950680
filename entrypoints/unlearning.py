"""Unlearning as a tracked run: find or make the original, forget, evaluate, find the oracle."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from entrypoints.options import DeviceOptions
from entrypoints.originals import browse, load_asked, make_original, write_json
from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.data.forget import ForgetRequest, ForgetSplit, indices_digest
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.evaluation import SplitOutputs, gaps, look, measure
from mu.methods import check_method, make_method
from mu.methods.base import Method
from mu.report import console, plots, prose
from mu.runs import Run, pick_device
from mu.tracking import (
    Recorder,
    Store,
    connect,
    fetch_checkpoint,
    find_oracle,
    find_original,
    fingerprint_tags,
    finished_run,
    tracked,
)
from mu.tracking.lineage import ORACLE_TAG, same_value

if TYPE_CHECKING:
    from entrypoints.unlearn import UnlearnOptions

ORACLE_WORDS = ("find", "train", "none")


@dataclass(frozen=True)
class Upstream:
    """The original in hand, and what is to be forgotten of it."""

    run_id: str
    checkpoint: Checkpoint
    dataset: ImageDataset
    split: ForgetSplit
    forget: str
    device: DeviceOptions

    @cached_property
    def before(self) -> SplitOutputs:
        """The original's outputs, looked at once for however many runs start from it."""
        return look(self.checkpoint.model, self.split, Run(**self.device.as_dict()))

    @property
    def evaluation_seed(self) -> int:
        """Draws the attack's samples: the same for every model of one split."""
        return self.checkpoint.spec.recipe.split.split_seed

    def oracle_key(self, mask_from: str) -> str:
        """Fingerprint of everything that an oracle of this job depends on, but its seed."""
        spec = self.checkpoint.spec
        parts = [
            spec.data.fingerprint,
            spec.recipe.fingerprint,
            indices_digest(self.split.retain),
            self.checkpoint.mask.fingerprint if mask_from == "upstream" else "",
            mask_from,
        ]
        return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


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


# --- one method, evaluated ----------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """An unlearned model and its numbers."""

    checkpoint: Checkpoint
    metrics: dict[str, float]
    run: Run
    after: SplitOutputs
    config: dict[str, Any]


def run_method(
    recorder: Recorder, upstream: Upstream, name: str, method: Method, seed: int
) -> Result:
    """Unlearn a copy of the original, measure it, and log what is known so far."""
    config = {
        "method": name,
        **method.as_dict(),
        "forget": upstream.forget,
        "seed": seed,
        "prune_run_id": upstream.run_id,
        "dataset": upstream.dataset.name,
        "arch": upstream.checkpoint.spec.recipe.model.arch,
        "prune_rate": upstream.checkpoint.spec.recipe.pruning["rate"],
        "prune_seed": upstream.checkpoint.spec.recipe.seed,
        "prune_split_seed": upstream.checkpoint.spec.recipe.split.split_seed,
    }
    recorder.params(config)
    run = Run(**upstream.device.as_dict(), seed=seed, folder=recorder.folder, sink=recorder.metrics)
    checkpoint = copy.deepcopy(upstream.checkpoint)
    run.place(checkpoint.model)
    with run.stopwatch() as seconds:
        method.unlearn(checkpoint, upstream.split, run)
    checkpoint.spec = checkpoint.spec.without(upstream.split.forget, name)
    after = look(checkpoint.model, upstream.split, run)
    before = measure(upstream.before, seed=upstream.evaluation_seed)
    metrics = {
        **measure(after, seed=upstream.evaluation_seed),
        **{f"{metric}_before": value for metric, value in before.items()},
        "RTE": seconds[0],
        "samples_seen": float(run.samples_seen),
        "peak_memory_mb": run.peak_memory_mb(),
        "sparsity": checkpoint.mask.sparsity,
    }
    tags = {
        "mu.upstream": upstream.run_id,
        "mu.data": upstream.dataset.fingerprint[:16],
        "mu.forget": upstream.split.fingerprint[:16],
    }
    if name == "retrain":
        tags[ORACLE_TAG] = upstream.oracle_key(method.as_dict()["mask_from"])
    recorder.tags(tags)
    return Result(checkpoint, metrics, run, after, config)


# --- the oracle ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Oracle:
    """The oracle's run and its numbers."""

    run_id: str
    metrics: Mapping[str, float]


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


# --- what a run keeps and says ------------------------------------------------------------


def finish(
    recorder: Recorder, upstream: Upstream, name: str, result: Result, oracle: Oracle | None
) -> None:
    """Compare with the oracle and write everything that the run keeps."""
    metrics, folder = result.metrics, recorder.folder
    links = {"original": upstream.run_id}
    if oracle is not None:
        metrics.update(gaps(metrics, oracle.metrics))
        if oracle.metrics.get("RTE"):
            metrics["speedup"] = oracle.metrics["RTE"] / max(metrics["RTE"], 1e-9)
        links["oracle"] = oracle.run_id
        recorder.tags({"mu.oracle": oracle.run_id})
    recorder.metrics(metrics)
    recorder.tags(fingerprint_tags(result.checkpoint.save(folder)))
    (folder / "forget").mkdir(exist_ok=True)
    np.save(folder / "forget" / "indices.npy", upstream.split.forget, allow_pickle=False)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "config.json", {**result.config, **upstream.device.as_dict()})
    plots.plot_layers(result.checkpoint.mask, folder / "mask" / "layers.png")
    plots.plot_confidence(upstream.before, result.after, folder / "plots" / "confidence.png")
    plots.plot_metrics(_rows(metrics, oracle, name), folder / "plots" / "metrics.png")
    if result.run.history("loss"):
        plots.plot_history(result.run, folder / "plots" / "training.png")
    spec, sparsity = upstream.checkpoint.spec, upstream.checkpoint.mask.sparsity
    original = prose.describe_model(spec, sparsity)
    recorder.describe(
        prose.describe_unlearn(name, upstream.forget, upstream.split, original, metrics, links)
    )


def _rows(
    metrics: Mapping[str, float], oracle: Oracle | None, name: str
) -> dict[str, Mapping[str, float]]:
    """Numbers of the original, the unlearned model and the oracle, by label."""
    ending = "_before"
    before = {n.removesuffix(ending): v for n, v in metrics.items() if n.endswith(ending)}
    rows: dict[str, Mapping[str, float]] = {"original": before, name: metrics}
    if oracle is not None:
        rows["oracle (retrain)"] = {**oracle.metrics, "gap": 0.0}
    return rows


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
        _rows(result.metrics, oracle, name),
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
