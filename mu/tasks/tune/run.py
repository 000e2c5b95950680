"""The entry tune: plan a search for better settings, have it made, show what came of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mu import tags
from mu.cli.requests import CRITERION, DeviceOptions, Request, TuneOptions, UnlearnOptions
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.digests import digest_of
from mu.errors import UserError
from mu.methods import check_method, method_class
from mu.methods.stopping import Stopping
from mu.report.run_names import brief_forget, run_name
from mu.tasks.base import (
    checked_device,
    device_in_force,
    make_run,
    record_rounding,
    run_task,
)
from mu.tasks.listed import forget_split
from mu.tasks.outputs import log_data, write_json
from mu.tasks.problem import TrackedModel, UnlearningProblem, rounding
from mu.tasks.resume import interrupted, kept_device, overrides, resumed_on
from mu.tasks.tune.judge import ByCriterion, ByOracle, Judge
from mu.tasks.tune.report import Outcome, print_outcome, print_trial, write_outcome
from mu.tasks.tune.space import axes_of
from mu.tasks.tune.trials import Space, Trial, search
from mu.tasks.unlearn import UnlearnPlan, make_plan
from mu.tracking import (
    UNFINISHED,
    Recorder,
    Stopped,
    Store,
    close_runs_below,
    connect,
    fingerprint_tag,
    keep_document,
    resumable_run,
)

OF_UNLEARN = ("prune_run_id", "stage", "method", "forget", "duplicates", "seed")


@dataclass(frozen=True)
class Tuning:
    """A search that was requested, checked as far as it can be before a run is opened."""

    options: TuneOptions
    space: Space
    plan: UnlearnPlan  # of the unlearning with the defaults
    other: ForgetSplit | None  # whose oracle tells which settings are good

    @property
    def store(self) -> Store:
        """Where runs are kept."""
        return self.plan.store

    def problem(self, original: TrackedModel) -> UnlearningProblem:
        """What is to be forgotten."""
        return self.plan.task(original).problem

    def tried_on(self, problem: UnlearningProblem) -> UnlearningProblem:
        """What the trials forget: that, or another set."""
        if self.other is None:
            return problem
        # Made anew: it keeps what was computed of the other problem.
        return UnlearningProblem(
            problem.run_id,
            problem.checkpoint,
            problem.dataset,
            self.other,
            self.options.target,
            problem.device,
        )

    def digest(self, problem: UnlearningProblem) -> str:
        """The tag of everything that the trials follow from."""
        tried_on, space = self.tried_on(problem), self.space
        forget = [problem.split.fingerprint, tried_on.split.fingerprint]
        method = [space.method.name, space.method.identity(), list(map(str, space.axes))]
        parts = [problem.network, forget, method, space.seed, space.count, self.options.target]
        return fingerprint_tag(digest_of(parts))

    def judge(self, problem: UnlearningProblem, parent: str) -> Judge:
        """What has the trials run; the oracle is made if there is none."""
        tried_on = self.tried_on(problem)
        if self.other is not None:
            return ByOracle(self.store, tried_on, parent)
        method = self.space.method
        limits = method if isinstance(method, Stopping) else Stopping
        drop = limits.max_accuracy_drop
        return ByCriterion(self.store, tried_on, parent, self.space.seed, drop)


def tune(request: Request) -> None:
    """Search a method's settings by what all methods stop by, or by another set's oracle."""
    options = TuneOptions.of(request.entry)
    options = options.replace(method=check_method(options.method))  # not an alias
    device = checked_device(DeviceOptions.of(request.device))
    resume = options.resume_run_id
    if resume:
        tuning = _interrupted(options, request)
    else:
        tuning = _planned(options, request, device)
        resume = _unfinished(tuning)
    title = run_name("tune", tuning.space.method.name, brief_forget(tuning.options.forget))
    work = partial(_work, tuning, resume)
    run_id, outcome = run_task(tuning.store, "tune", title, work, resume=resume)
    print_outcome(tuning.store, run_id, outcome)


def method_of_interrupted(run_id: str) -> str:
    """The method of an interrupted run: its options are those that the command has."""
    return check_method(interrupted(connect(), run_id, "tune").document["options"]["method"])


def _planned(options: TuneOptions, request: Request, device: DeviceOptions) -> Tuning:
    """Check what was requested, and find the original if there is one."""
    given = request.method
    axes = axes_of(method_class(options.method), given, options.search)
    target = None
    if options.target != CRITERION:
        target = ForgetRequest.parse(options.target, "target", options.duplicates)
    named = {name: getattr(options, name) for name in OF_UNLEARN}
    plan = make_plan(UnlearnOptions.of({**named, "oracle_run_id": "none"}), request, device)
    space = Space(plan.method, given, axes, options.seed, options.trials)
    space.made({one.name: one.values[0] if one.values else one.low for one in axes})  # they fit
    other = None if target is None else _other(plan, options, target)
    return Tuning(options, space, plan, other)


def _other(plan: UnlearnPlan, options: TuneOptions, target: ForgetRequest) -> ForgetSplit:
    """The forget set whose oracle is used; UserError if it shares samples with the one given."""
    spec, data = plan.original.spec(), plan.dataset
    forget = ForgetRequest.parse(options.forget, duplicates=options.duplicates)
    own, other = (forget_split(lambda: plan.store, spec, data, one) for one in (forget, target))
    if count := len(np.intersect1d(own.forget, other.forget)):
        raise UserError(
            f"target={options.target} shares {count} samples with forget={options.forget}, so its "
            "oracle would tell what is not to be known; give a target without them"
        )
    plan.method.check(other)
    return other


def _unfinished(tuning: Tuning) -> str | None:
    """The newest interrupted run of the same search."""
    if not isinstance(tuning.plan.original, TrackedModel):
        return None
    wanted = {tags.TUNE: tuning.digest(tuning.problem(tuning.plan.original))}
    newest = next(tuning.store.find({**wanted, tags.ENTRY: "tune"}, UNFINISHED), None)
    if newest is None:
        return None
    return str(resumable_run(tuning.store, newest.info.run_id, "tune").info.run_id)


def _interrupted(options: TuneOptions, request: Request) -> Tuning:
    """The search of the interrupted run that was named; UserError if it is another one by now."""
    run_id = str(options.resume_run_id)
    found = interrupted(connect(), run_id, "tune")
    kept, then = found.document, found.document["options"]
    made = {**then, **kept["method"], **kept_device(kept)}
    device = resumed_on(found, made, {**overrides(options), **request.method}, request.device)
    place = {"data_dir": request.original.get("data_dir") or kept["data_dir"]}
    again = Request(method=kept["method"], original=place)
    tuning = _planned(TuneOptions.of(then), again, device)
    assert isinstance(tuning.plan.original, TrackedModel)
    if tuning.digest(tuning.problem(tuning.plan.original)) != found.run.data.tags.get(tags.TUNE):
        raise UserError(
            f"run {run_id} cannot be resumed: its forget sets, or the method, are not what they "
            "were; start anew, what is finished of it is found all the same"
        )
    return tuning


def _work(tuning: Tuning, resume: str | None, recorder: Recorder) -> Outcome:
    """Have all trials run, below the search's own run."""
    options, problem = tuning.options, tuning.problem(tuning.plan.trained(recorder.run_id))
    if resume:
        close_runs_below(tuning.store, recorder.run_id, "KILLED", "the search was stopped")
    else:
        keep_document(recorder, _document(tuning, problem))
    target = CRITERION if tuning.other is None else f"oracle of {options.target} (upper bound)"
    config = {**tuning.space.method.as_dict(), **options.as_dict(), **problem.config()}
    recorder.params(config)
    recorder.tags({**problem.tags(), tags.UPSTREAM: problem.run_id, tags.TARGET: target})
    recorder.tags({tags.TUNE: tuning.digest(problem)})
    log_data(recorder, problem.dataset)
    run = make_run(problem.device)
    run.place(problem.checkpoint.model, problem.dataset.shape)
    record_rounding(recorder, run, resumed=resume is not None)
    for text in run.notes:
        print(f"note: {text}", file=sys.stderr, flush=True)
    recorder.send()  # what tells the search, before the first trial
    judge = tuning.judge(problem, recorder.run_id)

    def told(trial: Trial) -> None:
        print_trial(judge, trial)
        if trial.result is not None:
            shown = {name: trial.result.metrics[name] for name in judge.columns if name != "RTE"}
            recorder.metrics(shown, trial.number)

    try:
        trials = search(tuning.space, judge, told)
    except (KeyboardInterrupt, Stopped):
        how = f"mlflow run . -e tune -P resume_run_id={recorder.run_id}"
        print(f"to continue the search: {how}", file=sys.stderr, flush=True)
        raise
    outcome = Outcome(tuning.space, problem, judge, trials)
    if outcome.best.result is None:
        raise UserError(f"all {len(outcome.trials)} trials failed: {outcome.best.error}")
    write_json(recorder.folder / "config.json", {**config, **device_in_force(problem.device, run)})
    write_outcome(recorder, outcome)
    return outcome


def _document(tuning: Tuning, problem: UnlearningProblem) -> dict[str, Any]:
    """What is kept while the run lasts, so that it can be resumed; JSON-ready."""
    named = tuning.options.as_dict()
    named |= {} if named["stage"] else {"prune_run_id": problem.run_id}  # it may have been auto
    return {
        "options": named,
        "method": dict(tuning.space.given),
        **rounding(problem.device),
        "data_dir": problem.dataset.data_dir,
    }
