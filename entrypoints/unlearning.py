"""The main job: find or make the original, forget, find or make the oracle, print the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entrypoints.found_originals import data_of, find_asked, forget_split, stage_of
from entrypoints.originals import Order, make_original, order_asked
from entrypoints.unlearn_again import job_of_interrupted
from entrypoints.unlearn_job import Job, Upstream
from entrypoints.unlearn_run import Done, print_done, run_job
from entrypoints.unlearned import check_oracle_run
from mu.checkpoints import Spec
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.methods import check_method, make_method
from mu.methods.base import Method
from mu.report import prose
from mu.tracking import Store, connect

if TYPE_CHECKING:
    from entrypoints.unlearn import ForgetOptions, UnlearnOptions


@dataclass(frozen=True)
class Plan:
    """An unlearning that was asked for, checked as far as it can be before a run is opened.

    Parameters
    ----------
    upstream
        The original that is there already, or None.
    order
        The one to make, or None.
    """

    store: Store
    options: ForgetOptions
    name: str
    method: Method
    seed: int
    device: DeviceOptions
    dataset: ImageDataset
    split: ForgetSplit
    upstream: Upstream | None
    order: Order | None

    @property
    def title(self) -> str:
        """Of the run, in the runs table."""
        return f"{self.name} {self.options.forget}"

    @property
    def spec(self) -> Spec:
        """Of the original."""
        if self.upstream is not None:
            return self.upstream.checkpoint.spec
        assert self.order is not None
        return self.order.spec()


def main(
    options: UnlearnOptions,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any],
    device: DeviceOptions,
) -> None:
    """The main job; see :func:`entrypoints.unlearn.unlearn` for the arguments."""
    plan = make_plan(options, options.seed, settings, asked, device)
    print_done(plan.store, run_plan(plan))


def make_plan(
    options: ForgetOptions,
    seed: int,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any],
    device: DeviceOptions,
) -> Plan:
    """Check what was asked for, and find the original if there is one.

    Parameters
    ----------
    seed
        Of the unlearning.
    settings, asked
        See :func:`entrypoints.unlearn.unlearn`.

    Raises
    ------
    UserError
        If something does not fit.
    """
    name = check_method(options.method)
    method = make_method(name, settings)
    request = ForgetRequest.parse(options.forget)
    device.check()
    store = connect()
    prune_run_id = stage_of(store, options.prune_run_id, options.stage)
    found = find_asked(store, prune_run_id, asked, poisoned=request.kind == "poison")
    upstream, order = None, None
    if found is None:
        order = order_asked(asked, device, prefix="prune_")
        dataset = order.dataset
        split = forget_split(order.spec(), dataset, request)
    else:
        run_id, checkpoint = found
        dataset = data_of(checkpoint.spec, asked)
        split = forget_split(checkpoint.spec, dataset, request)
        if options.prune_run_id == "auto":
            about = prose.describe_model(checkpoint.spec, checkpoint.mask.sparsity)
            print(f"original: run {run_id}, the newest that agrees with what is asked ({about})")
        upstream = Upstream(run_id, checkpoint, dataset, split, options.forget, device)
    check_oracle_run(store, options.oracle_run_id, upstream)
    return Plan(store, options, name, method, seed, device, dataset, split, upstream, order)


def run_plan(plan: Plan, parent: str | None = None) -> Done:
    """Do what was planned, in a run of its own.

    Parameters
    ----------
    parent
        The run that it is a part of; what is made on the way is then shown below it, too.
    """
    options = plan.options

    def job() -> Job:
        original = plan.upstream
        if original is None:
            assert plan.order is not None
            print("no finished original agrees with what is asked: making one first")
            made = make_original(plan.store, plan.order, parent)
            original = Upstream(
                made.run_id,
                made.checkpoint,
                plan.dataset,
                plan.split,
                options.forget,
                plan.device,
            )
        beside = {"stage": options.stage} if options.stage else {}
        return Job(original, plan.name, plan.method, plan.seed, options.oracle_run_id, beside)

    nested = parent is not None
    return run_job(plan.store, plan.title, lambda _: job(), parent=parent, nest=nested)


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
