"""Cleansing: find or train a poisoned original, suspect samples, forget them, see what is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import BackdoorOptions, DeviceOptions, Request
from mu.data.forget import POISON, ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.data.poison import Poison, PoisonedDataset
from mu.data.poison_options import ALL, PREFIX, PoisonOptions
from mu.data.triggers import check_trigger
from mu.detection.outliers import precision_and_recall
from mu.detection.spectral import SpectralSignatures
from mu.errors import UserError
from mu.hyperparameters import typed_as
from mu.methods import check_method, make_method
from mu.methods.base import Method
from mu.report import backdoor_plots, prose
from mu.tasks.base import make_run
from mu.tasks.perform import perform
from mu.tasks.problem import TrainTask, Unlearned, UnlearningProblem, UnlearnResult, UnlearnTask
from mu.tasks.prune import requested_task, task_under_mask, train
from mu.tasks.resolve import (
    check_oracle_run,
    data_of,
    find_requested,
    forget_split,
    refuse_contradictions,
    stage_of,
)
from mu.tasks.unlearn import interrupted_task
from mu.tracking import Recorder, Store, fetch_checkpoint, find_original, rounded

SPECTRAL = "spectral"
STILL_IN = 20.0  # percent of attack success at which a note says so


@dataclass(frozen=True)
class BackdoorPlan:
    """What is to be done, checked as far as it can be before anything is trained.

    Parameters
    ----------
    found
        The poisoned original that is there already, by its run ID, or None.
    missing
        The one that is to be trained first, or None.
    """

    options: BackdoorOptions
    name: str
    method: Method
    spectral: SpectralSignatures
    device: DeviceOptions
    dataset: ImageDataset
    found: tuple[str, Checkpoint] | None
    missing: TrainTask | None

    @property
    def title(self) -> str:
        """Of the run, in the runs table."""
        return f"{self.name} {self.forget}"

    @property
    def forget(self) -> str:
        """What is forgotten, as later runs show it."""
        suspects = self.options.suspects
        if suspects is None:
            return POISON
        return SPECTRAL if suspects == SPECTRAL else f"indices:{suspects}"


# --- planning -----------------------------------------------------------------------------


def make_plan(store: Store, options: BackdoorOptions, request: Request) -> BackdoorPlan:
    """Check what was requested, and find the poisoned original if there is one.

    Raises
    ------
    UserError
        If something does not fit.
    """
    name = check_method(options.method)
    method, device = make_method(name, request.method), DeviceOptions.of(request.device)
    with typed_as("suspects_", SpectralSignatures.names()):
        spectral = SpectralSignatures.of(request.suspects)
    if request.suspects and options.suspects != SPECTRAL:
        given = next(iter(request.suspects))
        raise UserError(
            f"suspects_{given} is a setting of suspects=spectral; leave it out, or give that"
        )
    found, missing = _original(store, options, request, device)
    if found is None:
        assert missing is not None
        dataset, spec = missing.dataset, missing.spec()
    else:
        dataset, spec = data_of(found[1].spec, request.original), found[1].spec
    plan = BackdoorPlan(options, name, method, spectral, device, dataset, found, missing)
    if options.suspects == SPECTRAL:
        spectral.check(dataset)
    else:  # refuses lists that do not fit
        split = forget_split(spec, dataset, ForgetRequest.parse(plan.forget))
        problem = UnlearningProblem(*found, dataset, split, plan.forget, device) if found else None
        check_oracle_run(store, options.oracle_run_id, problem)
    return plan


def _original(
    store: Store, options: BackdoorOptions, request: Request, device: DeviceOptions
) -> tuple[tuple[str, Checkpoint] | None, TrainTask | None]:
    """The poisoned original that was requested, or the task that trains it."""
    run_id, mask_run_id = options.prune_run_id, options.mask_run_id
    if mask_run_id is not None and run_id != "auto":
        raise UserError("mask_run_id is of an original that is to be made; leave prune_run_id out")
    if run_id != "auto":
        if store.run(run_id).data.tags.get(tags.ENTRY) == "backdoor":
            run_id = stage_of(store, run_id, "poisoned")
        found = find_requested(store, run_id, request.original)
        assert found is not None
        _check_poison(run_id, found[1], request)
        return found, None
    if mask_run_id is not None:
        task = task_under_mask(store, mask_run_id, request.original, device)
        return None, _poisoned(task, request)
    task = _poisoned(requested_task(request.original, device, prefix="prune_"), request)
    assert isinstance(task.dataset, PoisonedDataset)
    # All settings, defaults too: what is compared must not differ in what was not request.
    wanted = {**task.spec().settings(), **task.dataset.poison.options(), "mask_run_id": None}
    run = find_original(store, wanted, task.dataset.fingerprint, poisoned=True)
    if run is None:
        return None, task
    return (run.info.run_id, fetch_checkpoint(store, run.info.run_id)), None


def _poisoned(task: TrainTask, request: Request) -> TrainTask:
    """The task, with poison in its data."""
    published = task.dataset
    if isinstance(published, PoisonedDataset):
        published = published.clean
    split = task.spec().split(published)
    seed = task.recipe.split.split_seed
    if request.poison.get("poison") == POISON:
        raise UserError("poison=poison: say which images, such as random:10% or class:5:60")
    poison = Poison.choose(
        PoisonOptions.of(request.poison), request.trigger, published, split, seed
    )
    return replace(task, dataset=poison.apply(published))


def _check_poison(run_id: str, checkpoint: Checkpoint, request: Request) -> None:
    """Refuse an original that was not poisoned, or not as was request.

    Raises
    ------
    UserError
        If it is such a one.
    """
    poison = checkpoint.spec.data.poison
    if poison is None:
        raise UserError(
            f"the original of run {run_id} was not poisoned; give the ID of a poisoned one, or "
            "leave prune_run_id out to make one"
        )
    said = {**request.poison, **{PREFIX + name: value for name, value in request.trigger.items()}}
    if "trigger" in said:
        said["trigger"] = check_trigger(said["trigger"])
    if said.get("target") in checkpoint.spec.data.classes:  # by name
        said["target"] = str(checkpoint.spec.data.classes.index(said["target"]))
    refuse_contradictions(run_id, poison.options(), said)


# --- doing --------------------------------------------------------------------------------


def run_plan(store: Store, plan: BackdoorPlan, parent: str | None = None) -> Unlearned:
    """Do what was planned, in a run of its own.

    Parameters
    ----------
    parent
        The run that it is a part of.
    """

    def begin(recorder: Recorder) -> UnlearnTask:
        found = plan.found
        if found is not None:
            about = prose.describe_model(found[1].spec, found[1].mask.sparsity)
            print(f"poisoned original: run {found[0]}, made as requested ({about})")
        else:
            assert plan.missing is not None
            print("training the poisoned original first")
            made = train(store, plan.missing, recorder.run_id)
            found = (made.run_id, made.checkpoint)
        return _task(store, plan, *found)

    return perform(
        store, plan.title, begin, entry="backdoor", parent=parent, extra=_save, nest=True
    )


def _task(store: Store, plan: BackdoorPlan, run_id: str, checkpoint: Checkpoint) -> UnlearnTask:
    options, dataset = plan.options, plan.dataset
    extra: dict[str, Any] = {"suspects": options.suspects, "mask_run_id": options.mask_run_id}
    notes: list[str] = []
    if options.suspects == SPECTRAL:
        run = make_run(plan.device)
        suspects = plan.spectral.suspect(checkpoint, dataset, run)
        split = ForgetSplit.of(dataset, checkpoint.spec.split(dataset), suspects)
        extra |= {f"suspects_{name}": value for name, value in plan.spectral.as_dict().items()}
        notes = run.notes
    else:
        split = forget_split(checkpoint.spec, dataset, ForgetRequest.parse(plan.forget))
    problem = UnlearningProblem(run_id, checkpoint, dataset, split, plan.forget, plan.device)
    check_oracle_run(store, options.oracle_run_id, problem)
    return UnlearnTask(
        problem, plan.name, plan.method, options.seed, options.oracle_run_id, extra, notes
    )


def resume(store: Store, options: BackdoorOptions, request: Request) -> Unlearned:
    """Continue an interrupted run, in that run."""
    run_id = options.resume_run_id
    assert run_id is not None
    if options.sparsities is not None:
        raise UserError("resume_run_id continues one run; leave sparsities out")
    task = interrupted_task(store, run_id, options, request, "backdoor")
    _check_poison(run_id, task.problem.checkpoint, request)
    print(f"run {run_id} continues with method={task.name}")
    if task.progress is None:
        print(f"run {run_id}: no epoch was finished, so it starts again")
    return perform(
        store, task.title, lambda _: task, entry="backdoor", resume=run_id, extra=_save, nest=True
    )


# --- what is kept -------------------------------------------------------------------------


def _save(recorder: Recorder, task: UnlearnTask, result: UnlearnResult) -> None:
    """What a backdoor run keeps beside what every unlearning does."""
    problem, folder = task.problem, recorder.folder
    dataset = problem.dataset
    assert isinstance(dataset, PoisonedDataset)
    if task.extra.get("suspects"):
        found = precision_and_recall(problem.split.forget, dataset.poisoned)
        result.metrics.update({name: rounded(value) for name, value in found.items()})
        result.run.note(
            f"{len(problem.split.forget)} samples are suspected: "
            f"{found['suspects_precision']:.1f} % of them are poisoned (precision), and "
            f"{found['suspects_recall']:.1f} % of the {len(dataset.poisoned)} poisoned ones are "
            "among them (recall)"
        )
    if result.metrics["ASR"] >= STILL_IN:
        settings = {
            "max_accuracy_drop": "a larger max_accuracy_drop",
            "l1_strength": "a larger l1_strength",
        }
        remedies = [words for name, words in settings.items() if name in task.method.names()]
        remedies += ["method=l1_sparse"] if task.name != "l1_sparse" else []
        result.run.note(
            f"the backdoor is still in: {result.metrics['ASR']:.1f} % of triggered images are "
            f"given the class that the attacker wants; try {' or '.join(remedies)}"
        )
    problem.checkpoint.save(folder / "poisoned")
    _write_poison(dataset.poison, folder / "poison")
    run = make_run(problem.device)
    backdoor_plots.plot_trigger(dataset, folder / "plots" / "trigger.png")
    backdoor_plots.plot_predictions(
        dataset, problem.checkpoint.model, result.checkpoint.model, run, folder / "plots"
    )


def _write_poison(poison: Poison, folder: Path) -> None:
    """Which samples were poisoned, and with what."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "indices.npy", np.array(poison.indices, np.int64), allow_pickle=False)
    about: Mapping[str, Any] = {
        "trigger": poison.trigger,
        "settings": dict(poison.settings),
        "target": ALL if poison.target is None else poison.target,
        "clean_label": poison.clean_label,
        "poison": poison.request,
        "fingerprint": poison.fingerprint,
    }
    (folder / "trigger.json").write_text(json.dumps(about, indent=1) + "\n")
