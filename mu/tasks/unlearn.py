"""The entry unlearn: find or train the original, forget, find or train the oracle, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mu.checkpoints import Checkpoint
from mu.cli.requests import BackdoorOptions, DeviceOptions, Request, TransferOptions, UnlearnOptions
from mu.cli.run_ids import whole_request
from mu.data.attack import AttackedDataset
from mu.data.forget_request import POISON, ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset
from mu.methods import check_method, make_method, method_class
from mu.methods.base import Method
from mu.report.console import say
from mu.report.run_names import name_unlearning
from mu.runs import Run
from mu.tasks.attacks import refuse_other_attack, restated, stated, stated_options
from mu.tasks.base import checked_device, make_run
from mu.tasks.listed import forget_split, ranked
from mu.tasks.outputs import about
from mu.tasks.perform import perform, perform_task, print_unlearned
from mu.tasks.problem import TrackedModel, TrainTask, Unlearned, UnlearningProblem, UnlearnTask
from mu.tasks.prune import requested_task, train
from mu.tasks.resolve import check_oracle_run, data_of, fetch_original, find_requested, stage_of
from mu.tasks.resume import continued, interrupted, overrides, resumed_on
from mu.tracking import Recorder, Store, connect


def unlearn(request: Request) -> Unlearned:
    """Make an original forget, evaluate it, and compare it with the oracle."""
    request = whole_request(request)
    options = UnlearnOptions.of(request.entry)
    device = checked_device(DeviceOptions.of(request.device))
    if options.resume_run_id:
        store = connect()
        task = interrupted_task(store, "unlearn", options, request)
        done = perform_task(store, task, register=options.register)
    else:
        plan = make_plan(options, request, device)
        store, done = plan.store, run_plan(plan, register=options.register)
    print_unlearned(store, done)
    return done


@dataclass(frozen=True)
class UnlearnPlan:
    """An unlearning that was requested, checked as far as it can be before a run is opened."""

    store: Store
    options: UnlearnOptions | TransferOptions | BackdoorOptions
    method: Method
    device: DeviceOptions
    dataset: ImageDataset
    original: TrackedModel | TrainTask  # there already, or trained first
    forget: str  # the forget set as it was requested
    # What gives it, once the original is there; with the recorder of the run, once that is open.
    select: Callable[[Checkpoint, Run, Recorder | None], ForgetSplit]
    extra: Mapping[str, Any]  # further options, by name; JSON-ready

    @property
    def title(self) -> str:
        """Of the run, in the runs table."""
        return name_unlearning(
            self.method.name,
            self.forget,
            self.original.spec(),
            self.options.seed,
            preset=self.method.as_dict().get("preset"),
            sparsity=self.sparsity,
        )

    @property
    def sparsity(self) -> float | None:
        """Of the original, in percent, where its mask is known."""
        if isinstance(self.original, TrackedModel):
            return self.original.checkpoint.mask.sparsity
        return None if self.original.mask is None else self.original.mask.sparsity

    def checked(self) -> UnlearnPlan:
        """The plan; refuses an oracle that does not fit, as far as that is known before the run."""
        if isinstance(self.original, TrackedModel):
            self.task(self.original)
        else:
            check_oracle_run(self.store, self.options.oracle_run_id, None)
        return self

    def trained(self, parent: str | None) -> TrackedModel:
        """The original, trained for the run ``parent`` if it is not there already."""
        if isinstance(self.original, TrackedModel):
            return self.original
        say("no finished original agrees with the request: training one first")
        return train(self.store, self.original, parent)

    def task(self, original: TrackedModel, recorder: Recorder | None = None) -> UnlearnTask:
        """What is to be done, once the original is there; refuses an oracle of something else."""
        run, run_id, checkpoint = make_run(self.device), original.run_id, original.checkpoint
        if stated_options(self.dataset) and isinstance(self.dataset, AttackedDataset):
            run.note(f"ASR is of {self.dataset.attack.in_words(self.dataset)}")
        split = self.select(checkpoint, run, recorder)
        self.method.check(split)
        problem = UnlearningProblem(
            run_id, checkpoint, self.dataset, split, self.forget, self.device
        )
        seed, oracle = self.options.seed, self.options.oracle_run_id
        check_oracle_run(self.store, oracle, problem)
        return UnlearnTask(problem, self.method, seed, oracle, self.extra, run.notes)


def make_plan(
    options: UnlearnOptions | TransferOptions, request: Request, device: DeviceOptions
) -> UnlearnPlan:
    """Check what was requested, and find the original if there is one."""
    method = make_method(options.method, request.method)
    forget = ForgetRequest.parse(options.forget, duplicates=options.duplicates)
    store, given = connect(), request.original
    run_id = stage_of(store, options.prune_run_id, options.stage)
    if run_id == "auto":
        given = {**forget.planting, **given}
    found = find_requested(store, run_id, given, poisoned=forget.kind == POISON)
    original = found or requested_task(given, device, prefix="prune_")
    where = found.run_id if found else "auto"
    dataset = stated(dataset_of(original, given), request, where)
    split = forget_split(lambda: store, original.spec(), dataset, forget)
    split = ranked(lambda: store, method, split)
    method.check(split)
    if found and options.prune_run_id == "auto":
        what = about(found.checkpoint)
        say(f"original: run {found.run_id}, the newest that agrees with the request ({what})")
    extra = {**stated_options(dataset), **({"stage": options.stage} if options.stage else {})}
    extra |= {"duplicates": options.duplicates} if dataset.manifest else {}
    return UnlearnPlan(
        store, options, method, device, dataset, original, options.forget, lambda *_: split, extra
    ).checked()


def dataset_of(original: TrackedModel | TrainTask, given: Mapping[str, Any]) -> ImageDataset:
    """The data of an original that is there or is to be trained."""
    if isinstance(original, TrainTask):
        return original.dataset
    return data_of(original.spec(), given)


def run_plan(
    plan: UnlearnPlan, parent: str | None = None, register: str | None = None
) -> Unlearned:
    """Do what was planned, in a run of its own, below ``parent`` like all that it trains."""

    def begin(_: Recorder) -> UnlearnTask:
        return plan.task(plan.trained(parent))

    return perform(plan.store, plan.title, begin, parent=parent, register=register)


def method_of_interrupted(run_id: str, entry: str = "unlearn") -> str:
    """The method of an interrupted run: its options are those that the command has."""
    return check_method(interrupted(connect(), run_id, entry).document["method"])


def interrupted_task(
    store: Store, entry: str, options: UnlearnOptions | BackdoorOptions, request: Request
) -> UnlearnTask:
    """What the interrupted run of ``options.resume_run_id`` was to do, and how far it came.

    UserError if it is not of ``entry``, cannot be resumed, or what is given contradicts how it
    was started.
    """
    run_id = str(options.resume_run_id)
    found = interrupted(store, run_id, entry)
    kept, given = found.document, request.original
    checkpoint = fetch_original(store, kept["prune_run_id"], given)
    kind, trained = method_class(kept["method"]), checkpoint.spec.recipe.training
    method, extra = kind.restored(kept["settings"], trained), kept.get("beside", {})
    wanted = {**overrides(options), **request.method}
    if "method" in wanted:
        wanted["method"] = check_method(wanted["method"])
    made = {**kept, **extra, **method.in_force(checkpoint)}
    device = resumed_on(found, made, wanted, request.device)
    place = given.get("data_dir") or kept["data_dir"]
    refuse_other_attack(run_id, checkpoint.spec, extra, request)
    dataset = restated(data_of(checkpoint.spec, {**given, "data_dir": place}), extra)
    forget = np.array(kept["indices"], np.int64)
    split = ForgetSplit.of(dataset, checkpoint.spec.split(dataset), forget)
    split = ranked(connect, method, split)
    problem = UnlearningProblem(
        kept["prune_run_id"], checkpoint, dataset, split, kept["forget"], device
    )
    seed, oracle, notes = kept["seed"], kept["oracle_run_id"], kept.get("notes", [])
    task = continued(UnlearnTask(problem, method, seed, oracle, extra, notes), found)
    check_oracle_run(store, task.oracle_run_id, problem)
    if task.progress is None:
        why = "no epoch was finished" if method.iterative else f"{task.name} works in one go"
        say(f"run {run_id}: {why}, so it starts again")
    return task
