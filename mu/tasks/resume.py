"""Interrupted runs: what they were to do, how far they came, and what may be said on top."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mu import tags
from mu.cli.requests import DeviceOptions
from mu.devices import pick_device
from mu.digests import digest_of
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters
from mu.tasks.problem import TrainTask, UnlearnTask
from mu.tasks.resolve import refuse_contradictions
from mu.tracking import UNFINISHED, Store, fetch_document, find_progress, resumable_run
from mu.training.progress import Progress

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

# May differ from one process to the next.
PLACES = ("data_dir", "workers", "resume_run_id", "register")


@dataclass(frozen=True)
class Interrupted:
    """An interrupted run."""

    run: MlflowRun
    document: Mapping[str, Any]  # what it was to do, as the task wrote it when the run began
    progress: Progress | None = None  # None where no epoch was finished, or nothing is kept
    about: Mapping[str, Any] | None = None  # what the progress is about


def interrupted(store: Store, run_id: str, entry: str) -> Interrupted:
    """What an interrupted run of ``entry`` was to do, and how far it came.

    UserError if it cannot be resumed.
    """
    run = resumable_run(store, run_id, entry)
    progress, about = find_progress(store, run) or (None, None)
    # Runs of prune of earlier versions kept it with their progress only.
    document = about if entry == "prune" and about else fetch_document(store, run)
    return Interrupted(run, document, progress, about)


def overrides(options: Hyperparameters) -> dict[str, Any]:
    """Options that were given to say something.

    MLflow's launcher always passes on the defaults, so these say nothing; neither do places.
    """
    defaults = type(options)().as_dict()
    given = options.as_dict().items()
    return {name: v for name, v in given if v != defaults[name] and name not in PLACES}


def resumed_on(
    found: Interrupted, made: Mapping[str, Any], given: Mapping[str, Any], device: Mapping[str, Any]
) -> DeviceOptions:
    """The device of a resumed run: anywhere, on any number, but with what was given of rounding.

    That is the precision, and ``threads``. UserError if what is given for the entry or of the
    device contradicts how the run was made.
    """
    kept = kept_device(made)
    said = {name: value for name, value in device.items() if name in kept and value != "auto"}
    refuse_contradictions(found.run.info.run_id, made, {**given, **said})
    return _begun(DeviceOptions.of({**device, **kept}), found)


def _begun(device: DeviceOptions, found: Interrupted) -> DeviceOptions:
    """The device, with the precision in which the run began where that was left open.

    Earlier versions did not record it: theirs was fp32 on the CPU.
    """
    if device.precision != "auto":
        return device
    begun = found.run.data.tags.get(tags.PRECISION)
    if begun is None and found.progress and pick_device(device.device).type == "cpu":
        begun = "fp32"
    return replace(device, precision=begun or "auto")


def kept_device(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's document has of the device; earlier versions had no ``threads``."""
    return {name: document.get(name) for name in ("precision", "threads")}


def continued(task: UnlearnTask, found: Interrupted) -> UnlearnTask:
    """The task from where an interrupted run of it stands."""
    run_id = found.run.info.run_id
    if found.about is not None and found.about != task.about():
        raise UserError(
            f"run {run_id} cannot be resumed: the progress in it is of another task; start it anew"
        )
    return replace(task, progress=found.progress, resume_run_id=run_id)


def continue_unlearning(store: Store, task: UnlearnTask) -> UnlearnTask:
    """The task; in a run of it that was interrupted, if there is one."""
    wanted = {tags.UNLEARNING: task.tags()[tags.UNLEARNING], tags.ENTRY: "unlearn"}
    for run in store.find(wanted, UNFINISHED):
        with suppress(UserError):  # it is still alive, say, or damaged
            found = interrupted(store, run.info.run_id, "unlearn")
            device = _begun(task.problem.device, found)
            again = replace(task, problem=replace(task.problem, device=device))
            if _agrees(found, again.document(), device):
                return continued(again, found)
    return task


def continue_training(store: Store, task: TrainTask) -> TrainTask:
    """The same of an original that is to be trained."""
    key = tags.fingerprint_tag(task.spec().fingerprint)
    for run in store.find({tags.ORIGINAL_KEY: key, tags.ENTRY: "prune"}, UNFINISHED):
        with suppress(UserError):
            resumable = resumable_run(store, run.info.run_id, "prune")
            progress, about = find_progress(store, resumable) or (None, task.document())
            found = Interrupted(resumable, about, progress)
            again = replace(task, device=_begun(task.device, found))
            if progress is None or _agrees(found, again.document(), again.device):
                return replace(again, progress=progress, resume_run_id=run.info.run_id)
    return task


def _agrees(found: Interrupted, document: Mapping[str, Any], device: DeviceOptions) -> bool:
    """Whether an interrupted run was to do just that, wherever the data are."""
    began = _begun(replace(device, precision=found.document["precision"]), found).precision
    place = {"data_dir": None}
    # By digest: what was read from a file has lists where the task has tuples.
    kept = digest_of({**found.document, "precision": began, **place})
    return kept == digest_of({**document, **place})
