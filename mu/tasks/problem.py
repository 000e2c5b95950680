"""One unlearning as a tracked run: forget, evaluate, compare with the oracle, keep the results."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mu.checkpoints import Checkpoint, Spec
from mu.cli.handover import log_data, write_json
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetSplit, indices_digest
from mu.data.images import ImageDataset
from mu.digests import digest_of
from mu.errors import UserError
from mu.evaluation import SplitOutputs, look, measure, membership
from mu.evaluation.backdoor import backdoor
from mu.evaluation.comparison import compare
from mu.methods.base import Method, unlearn
from mu.report import plots, prose
from mu.resume import Keeper, Progress
from mu.runs import Run
from mu.tracking import (
    CELL_TAG,
    ORACLE_TAG,
    POISON_TAG,
    Recorder,
    fetch_checkpoint,
    fingerprint_tag,
    fingerprint_tags,
    rounded,
    save_checkpoint,
)


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

    @cached_property
    def backdoor_before(self) -> dict[str, float]:
        """How far a backdoor works in the original; empty where none was planted."""
        return backdoor(self.checkpoint.model, self.dataset, Run(**self.device.as_dict()))

    @property
    def evaluation_seed(self) -> int:
        """Draws the attack's samples: the same for every model of one split."""
        return self.checkpoint.spec.recipe.split.split_seed

    def oracle_key(self, mask_from: str) -> str:
        """Fingerprint of everything that an oracle of this job depends on, but its seed."""
        retain, mask = indices_digest(self.split.retain), self.checkpoint.mask.fingerprint
        return oracle_key(self.checkpoint.spec, retain, mask, mask_from)

    @cached_property
    def network(self) -> tuple[str, str]:
        """Fingerprints of the original's weights and mask, as the tags of its run have them."""
        weights, mask = self.checkpoint.fingerprint, self.checkpoint.mask.fingerprint
        return fingerprint_tag(weights), fingerprint_tag(mask)


def oracle_key(spec: Spec, retain: str, mask: str, mask_from: str) -> str:
    """Fingerprint of everything that an oracle depends on, but its seed.

    Parameters
    ----------
    spec
        Of the original.
    retain, mask
        sha256 (hex) of the retained sample numbers and of the original's mask.
    mask_from
        See :class:`mu.methods.retrain.Retrain`.
    """
    parts = [
        spec.data.fingerprint,
        repr((spec.data.mean, spec.data.std)),
        spec.recipe.fingerprint,
        retain,
        mask if mask_from == "upstream" else "",
        mask_from,
    ]
    if spec.data.poison is not None:  # of clean data, keys are as they were without poisoning
        parts.append(spec.data.poison.fingerprint)
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


def cell_key(network: tuple[str, str], forget: str, name: str, method: Method, seed: int) -> str:
    """Fingerprint of one unlearning: the same one gives the same result.

    Parameters
    ----------
    network
        See :attr:`Upstream.network`.
    forget
        sha256 (hex) of the forget set's sample numbers.
    """
    return fingerprint_tag(digest_of([network, forget, name, method.as_dict(), seed]))


@dataclass(frozen=True)
class Job:
    """One unlearning that is to be done.

    Parameters
    ----------
    name, method
        How to unlearn.
    seed
        Of the unlearning.
    oracle_run_id
        What to compare with, as it was asked for.
    beside
        What else the entry was asked, by the names of its options; JSON-ready.
    notes
        Remarks from before the unlearning that the user should read.
    progress, resume_run_id
        What to go on from, if there is something, and in which run.
    """

    upstream: Upstream
    name: str
    method: Method
    seed: int
    oracle_run_id: str = "none"
    beside: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    progress: Progress | None = None
    resume_run_id: str | None = None

    @property
    def title(self) -> str:
        """Of the run, in the runs table."""
        return f"{self.name} {self.upstream.forget}"

    def as_dict(self) -> dict[str, Any]:
        """What is kept while the run lasts, so that the job can be done again; JSON-ready."""
        upstream = self.upstream
        return {
            "prune_run_id": upstream.run_id,
            "method": self.name,
            "settings": self.method.as_dict(),
            "forget": upstream.forget,
            "indices": upstream.split.forget.tolist(),  # a file may change
            "seed": self.seed,
            "oracle_run_id": self.oracle_run_id,
            "precision": upstream.device.precision,
            "data_dir": upstream.dataset.data_dir,
            "beside": dict(self.beside),
        }

    def about(self) -> dict[str, Any]:
        """What is kept with the progress: whose it is."""
        return {
            "prune_run_id": self.upstream.run_id,
            "method": self.name,
            "forget": self.upstream.split.fingerprint,
            "seed": self.seed,
        }

    def tags(self) -> dict[str, str]:
        """Where the run comes from, and what it can be the oracle of."""
        upstream = self.upstream
        tags = {
            "mu.upstream": upstream.run_id,
            "mu.data": fingerprint_tag(upstream.dataset.fingerprint),
            "mu.forget": fingerprint_tag(upstream.split.fingerprint),
        }
        forget = upstream.split.fingerprint
        tags[CELL_TAG] = cell_key(upstream.network, forget, self.name, self.method, self.seed)
        if poison := upstream.checkpoint.spec.data.poison:
            tags[POISON_TAG] = fingerprint_tag(poison.fingerprint)
        if self.name == "retrain":
            tags[ORACLE_TAG] = upstream.oracle_key(self.method.as_dict()["mask_from"])
        return tags


@dataclass(frozen=True)
class Oracle:
    """The oracle's run and its numbers."""

    run_id: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """An unlearned model and its numbers."""

    checkpoint: Checkpoint
    digests: dict[str, str]
    metrics: dict[str, float]
    run: Run
    after: SplitOutputs
    config: dict[str, Any]


def run_method(recorder: Recorder, job: Job, keeper: Keeper) -> Result:
    """Unlearn a copy of the original, measure it, and log what is known so far."""
    upstream = job.upstream
    config = {
        "method": job.name,
        **job.method.in_force(upstream.checkpoint),
        "forget": upstream.forget,
        "seed": job.seed,
        "prune_run_id": upstream.run_id,
        "dataset": upstream.dataset.name,
        "arch": upstream.checkpoint.spec.recipe.model.arch,
        "prune_rate": upstream.checkpoint.spec.recipe.pruning["rate"],
        "prune_seed": upstream.checkpoint.spec.recipe.seed,
        "prune_split_seed": upstream.checkpoint.spec.recipe.split.split_seed,
        **(poison.options() if (poison := upstream.checkpoint.spec.data.poison) else {}),
        **job.beside,
    }
    recorder.params(config)
    log_data(recorder, upstream.dataset)
    recorder.tags(job.tags())
    run = Run(
        **upstream.device.as_dict(), seed=job.seed, folder=recorder.folder, sink=recorder.metrics
    )
    run.notes += job.notes
    checkpoint = copy.deepcopy(upstream.checkpoint)
    run.place(checkpoint.model)
    with run.stopwatch() as seconds:
        unlearn(job.method, checkpoint, upstream.split, run, keeper)
    peak = run.peak_memory_mb()
    checkpoint.spec = checkpoint.spec.without(upstream.split.forget, job.name)
    # At once: whatever fails from here on, the result of the work is on disk.
    digests = save_checkpoint(recorder, checkpoint)
    after = look(checkpoint.model, upstream.split, run)
    _refuse_no_numbers(job, after)
    seed = upstream.evaluation_seed
    before = {**measure(upstream.before, seed=seed), **upstream.backdoor_before}
    numbers = {
        **measure(after, seed=seed),
        **backdoor(checkpoint.model, upstream.dataset, run),
        **membership(after, seed=seed),
        **{f"{metric}_before": value for metric, value in before.items()},
        "RTE": run.seconds_before + seconds[0],  # those of interrupted processes included
        "samples_seen": float(run.samples_seen),
        "peak_memory_mb": peak,
        "sparsity": checkpoint.mask.sparsity,
    }
    # As they are logged, so that a gap to logged numbers is exactly zero between equal models.
    metrics = {metric: rounded(value) for metric, value in numbers.items()}
    return Result(checkpoint, digests, metrics, run, after, config)


def _refuse_no_numbers(job: Job, after: SplitOutputs) -> None:
    """Refuse a network that was moved so far that nothing can be said of it.

    Raises
    ------
    UserError
        If an output is no number.
    """
    parts = (after.forget, after.retain, after.test)
    if all(part.finite for part in parts):
        return
    settings = job.method.as_dict()
    given = [name for name in ("alpha", "lr") if settings.get(name) is not None]
    remedy = f"lower {given[0]}={settings[given[0]]:g}" if given else "take gentler settings"
    raise UserError(f"after {job.name} the network's outputs are no numbers any more; {remedy}")


def finish(recorder: Recorder, job: Job, result: Result, oracle: Oracle | None) -> None:
    """Compare with the oracle and write everything that the run keeps."""
    upstream, name = job.upstream, job.name
    metrics, folder = result.metrics, recorder.folder
    links = {"original": upstream.run_id}
    if oracle is not None:
        metrics.update(_compared(recorder, job, result, oracle))
        if oracle.metrics.get("RTE"):
            metrics["speedup"] = oracle.metrics["RTE"] / max(metrics["RTE"], 1e-9)
        links["oracle"] = oracle.run_id
        recorder.tags({"mu.oracle": oracle.run_id})
    recorder.metrics(metrics)
    recorder.tags(fingerprint_tags(result.digests))
    (folder / "forget").mkdir(exist_ok=True)
    np.save(folder / "forget" / "indices.npy", upstream.split.forget, allow_pickle=False)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "config.json", {**result.config, **upstream.device.as_dict()})
    plots.plot_layers(result.checkpoint.mask, folder / "mask" / "layers.png")
    plots.plot_confidence(upstream.before, result.after, folder / "plots" / "confidence.png")
    plots.plot_metrics(rows_of(metrics, oracle, name), folder / "plots" / "metrics.png")
    if result.run.history("loss"):
        plots.plot_history(result.run, folder / "plots" / "training.png")
    spec, sparsity = upstream.checkpoint.spec, upstream.checkpoint.mask.sparsity
    original = prose.describe_model(spec, sparsity)
    recorder.describe(
        prose.describe_unlearn(
            name, upstream.forget, upstream.split, original, metrics, links, result.run.notes
        )
    )


def _compared(recorder: Recorder, job: Job, result: Result, oracle: Oracle) -> dict[str, float]:
    """Distances to the oracle, which is looked at on the same samples."""
    upstream = job.upstream
    model = fetch_checkpoint(recorder.store, oracle.run_id).model
    theirs = look(model, upstream.split, Run(**upstream.device.as_dict()))
    found = compare(result.after, theirs, seed=upstream.evaluation_seed)
    return {name: rounded(value) for name, value in found.items()}


def rows_of(
    metrics: Mapping[str, float], oracle: Oracle | None, name: str
) -> dict[str, Mapping[str, float]]:
    """Numbers of the original, the unlearned model and the oracle, by label."""
    ending = "_before"
    before = {n.removesuffix(ending): v for n, v in metrics.items() if n.endswith(ending)}
    rows: dict[str, Mapping[str, float]] = {"original": before, name: metrics}
    if oracle is not None:
        rows["oracle (retrain)"] = {**oracle.metrics, "gap": 0.0}
    return rows
