"""The main job: find or make the original, forget, find or make the oracle, print the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entrypoints.found_originals import data_of, find_asked, forget_split, stage_of
from entrypoints.originals import make_original, order_asked
from entrypoints.unlearn_again import job_of_interrupted
from entrypoints.unlearn_job import Job, Upstream
from entrypoints.unlearn_run import print_done, run_job
from entrypoints.unlearned import check_oracle_run
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetRequest
from mu.methods import check_method, make_method
from mu.report import prose
from mu.tracking import connect

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
    device.check()
    store = connect()
    prune_run_id = stage_of(store, options.prune_run_id, options.stage)
    found = find_asked(store, prune_run_id, asked, poisoned=request.kind == "poison")
    if found is None:
        order = order_asked(asked, device, prefix="prune_")
        dataset = order.dataset
        split = forget_split(order.spec(), dataset, request)
        upstream = None
    else:
        run_id, checkpoint = found
        dataset = data_of(checkpoint.spec, asked)
        split = forget_split(checkpoint.spec, dataset, request)
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
        beside = {"stage": options.stage} if options.stage else {}
        return Job(original, name, method, options.seed, options.oracle_run_id, beside)

    print_done(store, run_job(store, f"{name} {options.forget}", lambda _: job()))


def go_on(
    options: UnlearnOptions,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any],
    device: Mapping[str, Any],
) -> None:
    """The main job of an interrupted run, in that run; arguments as of :func:`main`."""
    assert options.resume_run_id is not None
    DeviceOptions.of(device).check()
    store = connect()
    job = job_of_interrupted(store, options.resume_run_id, options, settings, asked, device)
    check_oracle_run(store, job.oracle_run_id, job.upstream)
    if job.progress is None:
        why = "no epoch was finished" if job.method.iterative else f"{job.name} works in one go"
        print(f"run {job.resume_run_id}: {why}, so it starts again")
    print_done(store, run_job(store, job.title, lambda _: job, resume=job.resume_run_id))
