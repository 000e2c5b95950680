"""The main job: find or make the original, forget, find or make the oracle, print the table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entrypoints.originals import (
    data_of,
    fetch_original,
    make_original,
    order_asked,
    said_of_original,
)
from entrypoints.unlearn_again import job_of_interrupted, oracle_gone_on_with
from entrypoints.unlearn_job import Job, Oracle, Result, Upstream, finish, rows_of, run_method
from entrypoints.unlearned import ORACLE_WORDS, check_oracle_run
from mu.checkpoints import Checkpoint, Spec
from mu.cli.handover import browse
from mu.cli.originals import DeviceOptions
from mu.data import load_data
from mu.data.forget import ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.methods import check_method, make_method
from mu.report import console, prose
from mu.runs import pick_device
from mu.tracking import (
    Store,
    connect,
    fetch_checkpoint,
    find_oracle,
    find_original,
    finished_run,
    keep_job,
    remove_progress,
    rounded,
    run_keeper,
    tracked,
)

if TYPE_CHECKING:
    from entrypoints.unlearn import UnlearnOptions


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
        order = order_asked(asked, device)
        dataset = order.dataset
        split = _forget_split(order.spec(), dataset, request)
        upstream = None
    else:
        run_id, checkpoint = found
        dataset = data_of(checkpoint.spec, asked)
        split = _forget_split(checkpoint.spec, dataset, request)
        if options.prune_run_id == "auto":
            about = prose.describe_model(checkpoint.spec, checkpoint.mask.sparsity)
            print(f"original: run {run_id}, the newest that agrees with what is asked ({about})")
        upstream = Upstream(run_id, checkpoint, dataset, split, options.forget, device)
    check_oracle_run(store, options.oracle_run_id, upstream)

    def job() -> Job:
        original = upstream
        if original is None:
            print("no finished original agrees with what is asked: making one first")
            made = make_original(store, order)
            original = Upstream(
                made.run_id, made.checkpoint, dataset, split, options.forget, device
            )
        return Job(original, name, method, options.seed, options.oracle_run_id)

    _print(store, _run(store, f"{name} {options.forget}", job))


def go_on(
    options: UnlearnOptions,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any],
    device: Mapping[str, Any],
) -> None:
    """The main job of an interrupted run, in that run; arguments as of :func:`main`."""
    assert options.resume_run_id is not None
    pick_device(DeviceOptions.of(device).device)
    store = connect()
    job = job_of_interrupted(store, options.resume_run_id, options, settings, asked, device)
    check_oracle_run(store, job.oracle_run_id, job.upstream)
    if job.progress is None:
        why = "no epoch was finished" if job.method.iterative else f"{job.name} works in one go"
        print(f"run {job.resume_run_id}: {why}, so it starts again")
    _print(store, _run(store, job.title, lambda: job, job.resume_run_id))


@dataclass(frozen=True)
class _Done:
    """A job that is done, and what came of it."""

    run_id: str
    job: Job
    result: Result
    oracle: Oracle | None


def _run(store: Store, title: str, begin: Callable[[], Job], resume: str | None = None) -> _Done:
    """Do a job in a run of its own, or in the interrupted one that it goes on with.

    Parameters
    ----------
    begin
        Gives the job; called once the run is open, since it may take long.
    """
    with tracked(store, "unlearn", title[:20], resume=resume) as recorder:
        # At once: it is needed to go on, if this process is killed.
        print(f"unlearn run {recorder.run_id}", file=sys.stderr, flush=True)
        job = begin()
        if not resume:
            keep_job(recorder, job.as_dict())
        # All of it, since an interruption may come after the last epoch.
        with run_keeper(recorder, job.about(), job.progress) as keeper:
            result = run_method(recorder, job, keeper)
            oracle = _oracle(store, job)
            finish(recorder, job, result, oracle)
    remove_progress(recorder)
    return _Done(recorder.run_id, job, result, oracle)


# --- the original -------------------------------------------------------------------------


def _find_original(
    store: Store, prune_run_id: str, asked: Mapping[str, Any]
) -> tuple[str, Checkpoint] | None:
    """The original of the run given, or of the newest one that agrees, or None.

    Raises
    ------
    UserError
        If the run given holds no original, or was made otherwise than asked.
    """
    if prune_run_id != "auto":
        return prune_run_id, fetch_original(store, prune_run_id, asked)
    data_dir, said = asked.get("data_dir"), said_of_original(asked)
    fingerprint = None
    if data_dir and "dataset" in said:  # two folders may go by the same name
        data = load_data(said["dataset"], data_dir, said.get("image_size"))
        fingerprint = data.fingerprint
    run = find_original(store, said, fingerprint)
    return None if run is None else (run.info.run_id, fetch_checkpoint(store, run.info.run_id))


def _forget_split(spec: Spec, dataset: ImageDataset, request: ForgetRequest) -> ForgetSplit:
    parts = spec.split(dataset)
    chosen = request.select(dataset, parts, spec.recipe.split.split_seed)
    return ForgetSplit.of(dataset, parts, chosen)


# --- the oracle ---------------------------------------------------------------------------


def _oracle(store: Store, job: Job) -> Oracle | None:
    """The oracle asked for, found by fingerprint, trained, or none."""
    upstream, asked = job.upstream, job.oracle_run_id
    check_oracle_run(store, asked, upstream)
    if asked not in ORACLE_WORDS:
        return Oracle(asked, finished_run(store, asked).data.metrics)
    if asked == "none" or job.name == "retrain":
        return None
    found = find_oracle(store, upstream.oracle_key("upstream"))
    if found is not None:
        return Oracle(found.info.run_id, found.data.metrics)
    return _train_oracle(store, job) if asked == "train" else None


def _train_oracle(store: Store, job: Job) -> Oracle:
    """Retrain, in a run of its own; a job that was interrupted may have left one unfinished."""
    seed = job.upstream.checkpoint.spec.recipe.seed
    oracle = Job(job.upstream, "retrain", make_method("retrain"), seed)
    if job.resume_run_id:
        oracle = oracle_gone_on_with(store, oracle)
    done = _run(store, oracle.title, lambda: oracle, oracle.resume_run_id)
    return Oracle(done.run_id, done.result.metrics)


# --- what is printed ----------------------------------------------------------------------


def _print(store: Store, done: _Done) -> None:
    """What an unlearn run says when it is done."""
    run_id, result, oracle = done.run_id, done.result, done.oracle
    upstream, name = done.job.upstream, done.job.name
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
        lines["gap"] = prose.gap_in_words(result.metrics)
    if "alpha" in result.run.metrics:
        lines["alpha"] = f"{result.run.metrics['alpha']:.3g}"
    if result.metrics["sparsity"] != rounded(upstream.checkpoint.mask.sparsity):
        lines["sparsity"] = f"{result.metrics['sparsity']:.2f} %"
    lines["mask"] = f"mlflow artifacts download -r {run_id} -a mask -d DIR"
    lines["browse"] = browse(store, "mu-unlearn")
    console.print_lines(lines)
