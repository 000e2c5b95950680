"""The backdoor entry: find or make the poisoned original, suspect, forget, show what is left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from entrypoints.backdoor import Asked, BackdoorOptions
from entrypoints.found_originals import (
    data_of,
    find_asked,
    forget_split,
    refuse_contradictions,
    stage_of,
)
from entrypoints.originals import Order, make_original, order_asked, order_under_mask
from entrypoints.unlearn_again import job_of_interrupted
from entrypoints.unlearn_job import Job, Result, Upstream
from entrypoints.unlearn_run import Done, print_done, run_job
from entrypoints.unlearned import check_oracle_run
from mu.checkpoints import Checkpoint
from mu.cli.originals import DeviceOptions
from mu.data.forget import POISON, ForgetRequest, ForgetSplit
from mu.data.images import ImageDataset
from mu.data.poison import ALL, PREFIX, Poison, PoisonedDataset, PoisonOptions
from mu.data.triggers import check_trigger
from mu.detection.spectral import SpectralSignatures, precision_and_recall
from mu.errors import UserError
from mu.hyperparameters import typed_as
from mu.methods import check_method, make_method
from mu.methods.base import Method
from mu.report import backdoor_plots, prose
from mu.runs import Run
from mu.tracking import Recorder, Store, connect, fetch_checkpoint, find_original, rounded

SPECTRAL = "spectral"
STILL_IN = 20.0  # percent of attack success at which a note says so


@dataclass(frozen=True)
class Plan:
    """What is to be done, checked as far as it can be before anything is trained.

    Parameters
    ----------
    found
        The poisoned original that is there already, by its run ID, or None.
    order
        The one to make, or None.
    """

    options: BackdoorOptions
    name: str
    method: Method
    spectral: SpectralSignatures
    device: DeviceOptions
    dataset: ImageDataset
    found: tuple[str, Checkpoint] | None
    order: Order | None

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


def main(asked: Asked) -> None:
    """The entry point: everything that can be checked is checked before a run is opened."""
    options = BackdoorOptions.of(asked.own)
    if options.resume_run_id:
        print_done(connect(), _go_on(options, asked))
    elif options.sparsities is not None:
        from entrypoints.over_sparsity import figure

        figure(options, asked)
    else:
        store = connect()
        print_done(store, run_plan(store, make_plan(store, options, asked)))


# --- planning -----------------------------------------------------------------------------


def make_plan(store: Store, options: BackdoorOptions, asked: Asked) -> Plan:
    """Check what was asked for, and find the poisoned original if there is one.

    Raises
    ------
    UserError
        If something does not fit.
    """
    name = check_method(options.method)
    method, device = make_method(name, asked.settings), DeviceOptions.of(asked.device)
    with typed_as("suspects_", SpectralSignatures.names()):
        spectral = SpectralSignatures.of(asked.suspects)
    if asked.suspects and options.suspects != SPECTRAL:
        given = next(iter(asked.suspects))
        raise UserError(
            f"suspects_{given} is a setting of suspects=spectral; leave it out, or give that"
        )
    device.check()
    found, order = _original(store, options, asked, device)
    if found is None:
        assert order is not None
        dataset, spec = order.dataset, order.spec()
    else:
        dataset, spec = data_of(found[1].spec, asked.original), found[1].spec
    plan = Plan(options, name, method, spectral, device, dataset, found, order)
    if options.suspects == SPECTRAL:
        spectral.check(dataset)
    else:  # refuses lists that do not fit
        split = forget_split(spec, dataset, ForgetRequest.parse(plan.forget))
        upstream = Upstream(*found, dataset, split, plan.forget, device) if found else None
        check_oracle_run(store, options.oracle_run_id, upstream)
    return plan


def _original(
    store: Store, options: BackdoorOptions, asked: Asked, device: DeviceOptions
) -> tuple[tuple[str, Checkpoint] | None, Order | None]:
    """The poisoned original that was asked for, or the order to make it."""
    run_id, mask_run_id = options.prune_run_id, options.mask_run_id
    if mask_run_id is not None and run_id != "auto":
        raise UserError("mask_run_id is of an original that is to be made; leave prune_run_id out")
    if run_id != "auto":
        if store.run(run_id).data.tags.get("mu.entry") == "backdoor":
            run_id = stage_of(store, run_id, "poisoned")
        found = find_asked(store, run_id, asked.original)
        assert found is not None
        _check_poison(run_id, found[1], asked)
        return found, None
    if mask_run_id is not None:
        order = order_under_mask(store, mask_run_id, asked.original, device)
        return None, _poisoned(order, asked)
    order = _poisoned(order_asked(asked.original, device, prefix="prune_"), asked)
    assert isinstance(order.dataset, PoisonedDataset)
    # All settings, defaults too: what is compared must not differ in what was not asked.
    wanted = {**order.spec().settings(), **order.dataset.poison.options(), "mask_run_id": None}
    run = find_original(store, wanted, order.dataset.fingerprint, poisoned=True)
    if run is None:
        return None, order
    return (run.info.run_id, fetch_checkpoint(store, run.info.run_id)), None


def _poisoned(order: Order, asked: Asked) -> Order:
    """The order, with poison in its data."""
    published = order.dataset
    if isinstance(published, PoisonedDataset):
        published = published.clean
    split = order.spec().split(published)
    seed = order.recipe.split.split_seed
    if asked.poison.get("poison") == POISON:
        raise UserError("poison=poison: say which images, such as random:10% or class:5:60")
    poison = Poison.choose(PoisonOptions.of(asked.poison), asked.trigger, published, split, seed)
    return replace(order, dataset=poison.apply(published))


def _check_poison(run_id: str, checkpoint: Checkpoint, asked: Asked) -> None:
    """Refuse an original that was not poisoned, or not as was asked.

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
    said = {**asked.poison, **{PREFIX + name: value for name, value in asked.trigger.items()}}
    if "trigger" in said:
        said["trigger"] = check_trigger(said["trigger"])
    if said.get("target") in checkpoint.spec.data.classes:  # by name
        said["target"] = str(checkpoint.spec.data.classes.index(said["target"]))
    refuse_contradictions(run_id, poison.options(), said)


# --- doing --------------------------------------------------------------------------------


def run_plan(store: Store, plan: Plan, parent: str | None = None) -> Done:
    """Do what was planned, in a run of its own.

    Parameters
    ----------
    parent
        The run that it is a part of.
    """

    def begin(recorder: Recorder) -> Job:
        found = plan.found
        if found is not None:
            about = prose.describe_model(found[1].spec, found[1].mask.sparsity)
            print(f"poisoned original: run {found[0]}, made as is asked ({about})")
        else:
            assert plan.order is not None
            print("making the poisoned original first")
            made = make_original(store, plan.order, recorder.run_id)
            found = (made.run_id, made.checkpoint)
        return _job(store, plan, *found)

    return run_job(store, plan.title, begin, entry="backdoor", parent=parent, keep=_keep, nest=True)


def _job(store: Store, plan: Plan, run_id: str, checkpoint: Checkpoint) -> Job:
    options, dataset = plan.options, plan.dataset
    beside: dict[str, Any] = {"suspects": options.suspects, "mask_run_id": options.mask_run_id}
    notes: list[str] = []
    if options.suspects == SPECTRAL:
        run = Run(**plan.device.as_dict())
        suspects = plan.spectral.suspect(checkpoint, dataset, run)
        split = ForgetSplit.of(dataset, checkpoint.spec.split(dataset), suspects)
        beside |= {f"suspects_{name}": value for name, value in plan.spectral.as_dict().items()}
        notes = run.notes
    else:
        split = forget_split(checkpoint.spec, dataset, ForgetRequest.parse(plan.forget))
    upstream = Upstream(run_id, checkpoint, dataset, split, plan.forget, plan.device)
    check_oracle_run(store, options.oracle_run_id, upstream)
    return Job(upstream, plan.name, plan.method, options.seed, options.oracle_run_id, beside, notes)


def _go_on(options: BackdoorOptions, asked: Asked) -> Done:
    """Go on with an interrupted run, in that run."""
    run_id = options.resume_run_id
    assert run_id is not None
    if options.sparsities is not None:
        raise UserError("resume_run_id goes on with one run; leave sparsities out")
    DeviceOptions.of(asked.device).check()
    store = connect()
    job = job_of_interrupted(
        store, run_id, options, asked.settings, asked.original, asked.device, "backdoor"
    )
    _check_poison(run_id, job.upstream.checkpoint, asked)
    print(f"run {run_id} goes on with method={job.name}")
    if job.progress is None:
        print(f"run {run_id}: no epoch was finished, so it starts again")
    return run_job(
        store, job.title, lambda _: job, entry="backdoor", resume=run_id, keep=_keep, nest=True
    )


# --- what is kept -------------------------------------------------------------------------


def _keep(recorder: Recorder, job: Job, result: Result) -> None:
    """What a backdoor run keeps beside what every unlearning does."""
    upstream, folder = job.upstream, recorder.folder
    dataset = upstream.dataset
    assert isinstance(dataset, PoisonedDataset)
    if job.beside.get("suspects"):
        found = precision_and_recall(upstream.split.forget, dataset.poisoned)
        result.metrics.update({name: rounded(value) for name, value in found.items()})
        result.run.note(
            f"{len(upstream.split.forget)} samples are suspected: "
            f"{found['suspects_precision']:.1f} % of them are poisoned (precision), and "
            f"{found['suspects_recall']:.1f} % of the {len(dataset.poisoned)} poisoned ones are "
            "among them (recall)"
        )
    if result.metrics["ASR"] >= STILL_IN:
        own = {"spend": "a larger spend", "shrink": "a larger shrink"}
        remedies = [words for name, words in own.items() if name in job.method.names()]
        remedies += ["method=l1_sparse"] if job.name != "l1_sparse" else []
        result.run.note(
            f"the backdoor is still in: {result.metrics['ASR']:.1f} % of triggered images are "
            f"given the class that the attacker wants; try {' or '.join(remedies)}"
        )
    upstream.checkpoint.save(folder / "poisoned")
    _write_poison(dataset.poison, folder / "poison")
    run = Run(**upstream.device.as_dict())
    backdoor_plots.plot_trigger(dataset, folder / "plots" / "trigger.png")
    backdoor_plots.plot_predictions(
        dataset, upstream.checkpoint.model, result.checkpoint.model, run, folder / "plots"
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
