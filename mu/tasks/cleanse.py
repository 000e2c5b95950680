"""Cleansing: find or train a poisoned original, suspect samples, forget them, see what is left."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import BackdoorOptions, DeviceOptions, Request
from mu.data.attack import AttackedDataset
from mu.data.forget_request import POISON, ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset
from mu.data.planted import PlantedDataset
from mu.data.poison import PoisonedDataset
from mu.detection import DEFAULT_DETECTOR, DETECTORS
from mu.detection.activations import precision_and_recall
from mu.errors import UserError
from mu.methods import make_method, method_class
from mu.methods.fine_tuning import cleansing
from mu.report import backdoor_plots
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks.attacks import attack_given, stated, stated_options
from mu.tasks.base import make_run
from mu.tasks.outputs import about
from mu.tasks.perform import perform
from mu.tasks.problem import TrackedModel, TrainTask, Unlearned, UnlearnTask
from mu.tasks.prune import poisoned, requested_task, task_under_mask, train
from mu.tasks.resolve import fetch_original, refuse_contradictions, stage_of, tracked_model
from mu.tasks.suspects import Search
from mu.tasks.unlearn import UnlearnPlan, dataset_of, interrupted_task
from mu.tracking import Recorder, Store, find_original

STILL_IN = 20.0  # percent of attack success at which a note says so


def make_plan(store: Store, options: BackdoorOptions, request: Request) -> UnlearnPlan:
    """Check what was requested, and find the poisoned original if there is one."""
    settings = {**cleansing(method_class(options.method), request.method), **request.method}
    method, device = make_method(options.method, settings), DeviceOptions.of(request.device)
    suspects = options.suspects
    search = _search(suspects, request, options.duplicates)
    original = _original(store, options, request, device)
    dataset = _attacked(dataset_of(original, request.original), original, options, request)
    extra = {"suspects": suspects, "mask_run_id": options.mask_run_id, **stated_options(dataset)}
    extra |= {"duplicates": options.duplicates} if suspects and dataset.manifest else {}
    if search is not None:  # the network tells the forget set
        search.detector.label(dataset)  # refuses a class that is not there
        name, extra = search.detector.name, extra | search.options()
        select = partial(_suspected, search, dataset)
        return UnlearnPlan(store, options, method, device, dataset, original, name, select, extra)
    forget = POISON if suspects is None else f"indices:{suspects}"
    split = original.spec().forget_split(
        dataset, ForgetRequest.parse(forget, duplicates=options.duplicates)
    )
    method.check(split)
    return UnlearnPlan(
        store, options, method, device, dataset, original, forget, lambda *_: split, extra
    ).checked()


def _search(suspects: str | None, request: Request, duplicates: str) -> Search | None:
    """The search for suspects, or None where these are in a file, or known."""
    is_file = suspects is not None and (Path(suspects).suffix or Path(suspects).exists())
    if suspects is not None and (suspects in DETECTORS or not is_file):
        return Search(suspects, request, duplicates)
    if request.suspects:
        given = next(iter(request.suspects))
        raise UserError(
            f"suspects_{given} is a setting of suspects={DEFAULT_DETECTOR}; leave it out, or give "
            "that"
        )
    return None


def _suspected(
    search: Search,
    dataset: ImageDataset,
    checkpoint: Checkpoint,
    run: Run,
    recorder: Recorder | None,
) -> ForgetSplit:
    split = search.split(checkpoint, dataset, run)
    assert recorder is not None
    search.save(recorder, dataset)
    return split


def _attacked(
    dataset: ImageDataset,
    original: TrackedModel | TrainTask,
    options: BackdoorOptions,
    request: Request,
) -> ImageDataset:
    """The data with its attack: planted by mu, or as it was stated of somebody else's poison."""
    if isinstance(dataset, PoisonedDataset) or not isinstance(original, TrackedModel):
        return dataset
    known = {**request.poison, "suspects": options.suspects}
    if missing := [n for n in ("suspects", "trigger", "target") if known.get(n) is None]:
        raise UserError(
            f"the original of run {original.run_id} was not poisoned by mu; if somebody else "
            f"poisoned its data, give {', '.join(missing)} (as suspects=spectral trigger=patch "
            "target=CLASS); else leave prune_run_id out to make a poisoned one"
        )
    return stated(dataset, request, original.run_id)


def _original(
    store: Store, options: BackdoorOptions, request: Request, device: DeviceOptions
) -> TrackedModel | TrainTask:
    """The poisoned original that was requested, or the task that trains it."""
    run_id, mask_run_id = options.prune_run_id, options.mask_run_id
    if mask_run_id is not None and run_id != "auto":
        raise UserError("mask_run_id is of an original that is to be made; leave prune_run_id out")
    if run_id != "auto":
        if store.run(run_id).data.tags.get(tags.ENTRY) == "backdoor":
            run_id = stage_of(store, run_id, "poisoned")
        original = TrackedModel(run_id, fetch_original(store, run_id, request.original))
        if poison := original.checkpoint.spec.data.poison:
            said = attack_given(request, original.checkpoint.spec.data.classes)
            refuse_contradictions(run_id, poison.options(), said)
        return original
    if mask_run_id is not None:
        return _poisoned(task_under_mask(store, mask_run_id, request.original, device), request)
    task = _poisoned(requested_task(request.original, device, prefix="prune_"), request)
    assert isinstance(task.dataset, PoisonedDataset)
    # All settings, defaults too: what is compared must not differ in what was not given.
    wanted = {**task.spec().settings(), **task.dataset.poison.options(), "mask_run_id": None}
    run = find_original(store, wanted, task.dataset.fingerprint, poisoned=True)
    return task if run is None else tracked_model(store, run.info.run_id)


def _poisoned(task: TrainTask, request: Request) -> TrainTask:
    if isinstance(task.dataset, PlantedDataset):
        raise UserError(
            f"{task.dataset.planted.forget}: backdoor plants a trigger; give prune_canaries=none "
            "and prune_confusion=none, or use unlearn"
        )
    return poisoned(task, request.poison, request.trigger)


def run_plan(plan: UnlearnPlan, parent: str | None = None) -> Unlearned:
    """Do what was planned, in a run of its own, below ``parent``."""

    def begin(recorder: Recorder) -> UnlearnTask:
        original = plan.original
        if isinstance(original, TrainTask):
            print("training the poisoned original first")
            original = train(plan.store, original, recorder.run_id)
        else:
            what = about(original.checkpoint)
            planted = isinstance(plan.dataset, PoisonedDataset)
            made = "made as requested" if planted else "poisoned by somebody else"
            print(f"poisoned original: run {original.run_id}, {made} ({what})")
        return plan.task(original, recorder)

    return perform(
        plan.store,
        plan.title,
        begin,
        entry="backdoor",
        parent=parent,
        extra=_save,
        register=plan.options.register,
    )


def resume(store: Store, options: BackdoorOptions, request: Request) -> Unlearned:
    """Continue an interrupted run, in that run."""
    run_id = str(options.resume_run_id)
    if options.sparsities is not None:
        raise UserError("resume_run_id continues one run; leave sparsities out")
    task = interrupted_task(store, "backdoor", options, request)
    print(f"run {run_id} continues with method={task.name}")

    def begin(recorder: Recorder) -> UnlearnTask:
        if task.extra.get("suspects") in DETECTORS:  # its list was not stored before the end
            Search.of(task.extra).repeat(recorder, task.problem)
        return task

    return perform(
        store,
        task.title,
        begin,
        entry="backdoor",
        resume=run_id,
        extra=_save,
        register=options.register,
    )


def _save(recorder: Recorder, done: Unlearned) -> None:
    """What a backdoor run keeps in addition to what every unlearning does."""
    task, problem, folder = done.task, done.task.problem, recorder.folder
    dataset = problem.dataset
    assert isinstance(dataset, AttackedDataset)
    if task.extra.get("suspects") and len(dataset.poisoned):
        found = precision_and_recall(problem.split.forget, dataset.poisoned)
        done.metrics.update({name: rounded(value) for name, value in found.items()})
        done.run.note(
            f"{len(problem.split.forget)} samples are suspected: "
            f"{found['suspects_precision']:.1f} % of them are poisoned (precision), and "
            f"{found['suspects_recall']:.1f} % of the {len(dataset.poisoned)} poisoned ones are "
            "among them (recall)"
        )
    if done.metrics["ASR"] >= STILL_IN:
        remedies = [
            f"a larger {name}"
            for name in ("max_accuracy_drop", "l1_strength")
            if name in task.method.names()
        ]
        remedies += ["method=l1_sparse"] if task.name != "l1_sparse" else []
        done.run.note(
            f"the backdoor is still in: {done.metrics['ASR']:.1f} % of triggered images are "
            f"given the class that the attacker wants; try {' or '.join(remedies)}"
        )
    problem.checkpoint.save(folder / "poisoned")
    dataset.attack.save(folder / "poison")
    run = make_run(problem.device)
    backdoor_plots.plot_trigger(dataset, folder / "plots" / "trigger.png")
    backdoor_plots.plot_predictions(
        dataset, problem.checkpoint.model, done.checkpoint.model, run, folder / "plots"
    )
