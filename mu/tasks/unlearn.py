"""The entry unlearn: find or train the original, forget, find or train the oracle, compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mu.checkpoints import Spec
from mu.cli.requests import BackdoorOptions, DeviceOptions, ForgetOptions, Request, UnlearnOptions
from mu.data.forget import ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.methods import check_method, make_method
from mu.methods.base import Method
from mu.report import prose
from mu.tasks.base import checked_device
from mu.tasks.perform import perform, print_unlearned
from mu.tasks.problem import TrainTask, Unlearned, UnlearningProblem, UnlearnTask
from mu.tasks.prune import requested_task, train
from mu.tasks.resolve import (
    check_oracle_run,
    data_of,
    fetch_original,
    find_requested,
    forget_split,
    stage_of,
)
from mu.tasks.resume import check_overrides, continued, interrupted, overrides, same_device
from mu.tracking import Recorder, Store, connect


def unlearn(request: Request) -> Unlearned:
    """Make an original forget, evaluate it, and compare it with the oracle.

    Everything that can be checked is checked before a run is opened.
    """
    options = UnlearnOptions.of(request.entry)
    device = checked_device(DeviceOptions.of(request.device))
    if options.resume_run_id:
        store = connect()
        done = _resume(store, options.resume_run_id, options, request)
    else:
        plan = make_plan(options, options.seed, request, device)
        store, done = plan.store, run_plan(plan)
    print_unlearned(store, done)
    return done


# --- planning -----------------------------------------------------------------------------


@dataclass(frozen=True)
class UnlearnPlan:
    """An unlearning that was requested, checked as far as it can be before a run is opened.

    Parameters
    ----------
    found
        The original that is there already, with what it is to forget, or None.
    missing
        The original that is to be trained first, or None.
    """

    store: Store
    options: ForgetOptions
    name: str
    method: Method
    seed: int
    device: DeviceOptions
    dataset: ImageDataset
    split: ForgetSplit
    found: UnlearningProblem | None
    missing: TrainTask | None

    @property
    def title(self) -> str:
        """Of the run, in the runs table."""
        return f"{self.name} {self.options.forget}"

    @property
    def spec(self) -> Spec:
        """Of the original."""
        if self.found is not None:
            return self.found.spec
        assert self.missing is not None
        return self.missing.spec()


def make_plan(
    options: ForgetOptions, seed: int, request: Request, device: DeviceOptions
) -> UnlearnPlan:
    """Check what was requested, and find the original if there is one.

    Parameters
    ----------
    seed
        Of the unlearning.

    Raises
    ------
    UserError
        If something does not fit.
    """
    name = check_method(options.method)
    method = make_method(name, request.method)
    forget = ForgetRequest.parse(options.forget)
    store, given = connect(), request.original
    prune_run_id = stage_of(store, options.prune_run_id, options.stage)
    original = find_requested(store, prune_run_id, given, poisoned=forget.kind == "poison")
    found, missing = None, None
    if original is None:
        missing = requested_task(given, device, prefix="prune_")
        dataset = missing.dataset
        split = forget_split(missing.spec(), dataset, forget)
    else:
        run_id, checkpoint = original
        dataset = data_of(checkpoint.spec, given)
        split = forget_split(checkpoint.spec, dataset, forget)
        if options.prune_run_id == "auto":
            about = prose.describe_model(checkpoint.spec, checkpoint.mask.sparsity)
            print(f"original: run {run_id}, the newest that agrees with the request ({about})")
        found = UnlearningProblem(run_id, checkpoint, dataset, split, options.forget, device)
    check_oracle_run(store, options.oracle_run_id, found)
    return UnlearnPlan(store, options, name, method, seed, device, dataset, split, found, missing)


def run_plan(plan: UnlearnPlan, parent: str | None = None) -> Unlearned:
    """Do what was planned, in a run of its own.

    Parameters
    ----------
    parent
        The run that it is a part of; what is trained for it is then shown below it, too.
    """
    options = plan.options

    def begin(_: Recorder) -> UnlearnTask:
        problem = plan.found
        if problem is None:
            assert plan.missing is not None
            print("no finished original agrees with the request: training one first")
            made = train(plan.store, plan.missing, parent)
            problem = UnlearningProblem(
                made.run_id, made.checkpoint, plan.dataset, plan.split, options.forget, plan.device
            )
        extra = {"stage": options.stage} if options.stage else {}
        return UnlearnTask(problem, plan.name, plan.method, plan.seed, options.oracle_run_id, extra)

    return perform(plan.store, plan.title, begin, parent=parent, nest=parent is not None)


# --- resuming -----------------------------------------------------------------------------


def method_of_interrupted(run_id: str, entry: str = "unlearn") -> str:
    """The method of an interrupted run: its options are those that the command has.

    Raises
    ------
    UserError
        If the run cannot be resumed.
    """
    return check_method(interrupted(connect(), run_id, entry).document["method"])


def interrupted_task(
    store: Store,
    run_id: str,
    options: UnlearnOptions | BackdoorOptions,
    request: Request,
    entry: str = "unlearn",
) -> UnlearnTask:
    """What an interrupted run was to do, and how far it came.

    Parameters
    ----------
    entry
        That the run must be of.

    Raises
    ------
    UserError
        If it cannot be resumed, or what is given contradicts how it was started.
    """
    found = interrupted(store, run_id, entry)
    kept, given = found.document, request.original
    checkpoint = fetch_original(store, kept["prune_run_id"], given)
    method, extra = make_method(kept["method"], kept["settings"]), kept.get("beside", {})
    made = {**kept, **extra, **method.in_force(checkpoint)}
    check_overrides(found, made, {**_named(overrides(options)), **request.method}, request.device)
    place = given.get("data_dir") or kept["data_dir"]
    dataset = data_of(checkpoint.spec, {**given, "data_dir": place})
    forget = np.array(kept["indices"], np.int64)
    problem = UnlearningProblem(
        kept["prune_run_id"],
        checkpoint,
        dataset,
        ForgetSplit.of(dataset, checkpoint.spec.split(dataset), forget),
        kept["forget"],
        DeviceOptions.of(same_device(kept["precision"], request.device)),
    )
    task = UnlearnTask(problem, kept["method"], method, kept["seed"], kept["oracle_run_id"], extra)
    return continued(task, found)


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """With the registered name of the method."""
    return {n: check_method(value) if n == "method" else value for n, value in given.items()}


def _resume(store: Store, run_id: str, options: UnlearnOptions, request: Request) -> Unlearned:
    """Continue an interrupted run, in that run."""
    task = interrupted_task(store, run_id, options, request)
    check_oracle_run(store, task.oracle_run_id, task.problem)
    if task.progress is None:
        why = "no epoch was finished" if task.method.iterative else f"{task.name} works in one go"
        print(f"run {run_id}: {why}, so it starts again")
    return perform(store, task.title, lambda _: task, resume=run_id)
