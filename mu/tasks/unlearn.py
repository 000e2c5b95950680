"""A job of unlearning in a run of its own: forget, find or make the oracle, compare, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from entrypoints.unlearn_again import oracle_gone_on_with
from entrypoints.unlearn_job import Job, Oracle, Result, Upstream, finish, rows_of, run_method
from entrypoints.unlearned import ORACLE_WORDS, check_oracle_run
from mu.cli.handover import browse
from mu.methods import make_method
from mu.report import console, prose
from mu.tracking import (
    Recorder,
    Store,
    find_oracle,
    finished_run,
    keep_job,
    remove_progress,
    rounded,
    run_keeper,
    tracked,
)


@dataclass(frozen=True)
class Done:
    """A job that is done, and what came of it."""

    run_id: str
    job: Job
    result: Result
    oracle: Oracle | None


def run_job(
    store: Store,
    title: str,
    begin: Callable[[Recorder], Job],
    *,
    entry: str = "unlearn",
    resume: str | None = None,
    parent: str | None = None,
    keep: Callable[[Recorder, Job, Result], None] | None = None,
    nest: bool = False,
) -> Done:
    """Do a job in a run of its own, or in the interrupted one that it goes on with.

    Parameters
    ----------
    begin
        Gives the job; called once the run is open, since it may take long.
    entry
        Whose run it is.
    resume
        The interrupted run, if it goes on with one.
    parent
        The run that this one is made for.
    keep
        Writes what this entry keeps beside what every unlearning does.
    nest
        Whether an oracle that is made for it is shown below it.
    """
    with tracked(store, entry, title[:20], resume=resume, parent=parent) as recorder:
        # At once: it is needed to go on, if this process is killed.
        print(f"{entry} run {recorder.run_id}", file=sys.stderr, flush=True)
        job = begin(recorder)
        if not resume:
            keep_job(recorder, job.as_dict())
        # All of it, since an interruption may come after the last epoch.
        with run_keeper(recorder, job.about(), job.progress) as keeper:
            result = run_method(recorder, job, keeper)
            if keep is not None:
                keep(recorder, job, result)
            oracle = _oracle(store, job, recorder.run_id if nest else None)
            finish(recorder, job, result, oracle)
    remove_progress(recorder)
    return Done(recorder.run_id, job, result, oracle)


# --- the oracle ---------------------------------------------------------------------------


def _oracle(store: Store, job: Job, parent: str | None) -> Oracle | None:
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
    if asked == "find":
        return None
    return train_oracle(store, upstream, parent, go_on=job.resume_run_id is not None)


def train_oracle(
    store: Store, upstream: Upstream, parent: str | None = None, *, go_on: bool = False
) -> Oracle:
    """Retrain, in a run of its own.

    Parameters
    ----------
    parent
        The run that the oracle is made for.
    go_on
        Whether to go on in a run that an interrupted job left unfinished, where there is one.
    """
    seed = upstream.checkpoint.spec.recipe.seed
    oracle = Job(upstream, "retrain", make_method("retrain"), seed)
    if go_on:
        oracle = oracle_gone_on_with(store, oracle)
    resume = oracle.resume_run_id
    done = run_job(store, oracle.title, lambda _: oracle, resume=resume, parent=parent)
    return Oracle(done.run_id, done.result.metrics)


# --- what is printed ----------------------------------------------------------------------


def print_done(store: Store, done: Done) -> None:
    """What a run that unlearned says when it is done."""
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
    lines["browse"] = browse(store, "mu-backdoor" if "ASR" in result.metrics else "mu-unlearn")
    console.print_lines(lines)
