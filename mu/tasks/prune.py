"""Training originals: the entry ``prune``, and others where they find none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from mu import tags
from mu.checkpoints import Checkpoint, Spec
from mu.cli.requests import PLAIN_NAMES, DeviceOptions, PruneOptions, Request
from mu.cli.run_ids import whole_request
from mu.data.forget_request import POISON
from mu.data.images import ImageDataset
from mu.data.planted import PlantedDataset
from mu.data.poison import Poison
from mu.data.poison_options import PREFIX as TRIGGER_PREFIX
from mu.data.poison_options import PoisonOptions
from mu.data.wrong_label_options import WrongLabelOptions
from mu.data.wrong_labels import WrongLabels, spelled
from mu.errors import UserError
from mu.evaluation.outputs import predict
from mu.evaluation.unlearning import evaluate_original
from mu.hyperparameters import typed_as
from mu.models.head import head_name
from mu.originals.train import make_recipe, train_original
from mu.pruning import pruner_class
from mu.pruning.base import prunable
from mu.recipes.recipe import Rewinding
from mu.report import console, plots, prose
from mu.report.next_steps import next_steps
from mu.report.run_names import name_original
from mu.runs import Run
from mu.tasks.attacks import attack_spelled
from mu.tasks.base import checked_device, device_in_force, make_run, record_rounding, run_task
from mu.tasks.outputs import log_data, save_network, write_json
from mu.tasks.problem import TrackedModel, TrainTask
from mu.tasks.resolve import data_of, load_requested, settings_given
from mu.tasks.resume import interrupted, kept_device, resumed_on
from mu.tracking import (
    Recorder,
    Store,
    browse,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
    keep_document,
    registered_as,
    run_checkpointer,
    same_value,
)
from mu.tracking.artifacts import trusted_by
from mu.training.recipe import Training


def prune(request: Request) -> TrackedModel:
    """Train an original, dense or sparse, and keep its mask and checkpoint by run ID."""
    request = whole_request(request)
    options = PruneOptions.of(request.entry)
    device = checked_device(DeviceOptions.of(request.device))
    if options.mask_run_id and options.resume_run_id:
        raise UserError("resume_run_id continues a run as it was started; leave mask_run_id out")
    if options.resume_run_id:
        task = _interrupted_task(connect(), options.resume_run_id, request)
    elif options.mask_run_id:
        task = task_under_mask(connect(), options.mask_run_id, request.original, device)
    else:
        task = requested_task(request.original, device)
    store = connect()
    original = train(store, task, register=options.register)
    print_original(store, original)
    return original


def requested_task(given: Mapping[str, Any], device: DeviceOptions, prefix: str = "") -> TrainTask:
    """The original that was requested, with defaults for the rest; messages have the prefix."""
    dataset, rest = load_requested(given)
    return task_on(dataset, rest, device, prefix)


def task_on(
    dataset: ImageDataset, rest: Mapping[str, Any], device: DeviceOptions, prefix: str = ""
) -> TrainTask:
    """:func:`requested_task`, on data that is loaded; ``rest`` is what was given apart from it."""
    settings = {name: value for name, value in rest.items() if not _plants(name)}
    with typed_as(prefix, [name for name in rest if name not in PLAIN_NAMES]):
        recipe = make_recipe(dataset, **settings)
    for name in Rewinding.names():
        if rest.get(name) is not None and not recipe.rewinds:
            raise UserError(
                f"{name}={rest[name]}: pruner {recipe.pruner} prunes initial weights, so nothing "
                f"is rewound; leave {name} out, or give when=trained"
            )
    return _planted(TrainTask(dataset, recipe, device), rest, prefix)


def _plants(name: str) -> bool:
    """Whether an option is about what is planted in the training set."""
    names = (*WrongLabelOptions.names(), *PoisonOptions.names())
    return name in names or name.startswith(TRIGGER_PREFIX)


def _planted(task: TrainTask, given: Mapping[str, Any], prefix: str = "") -> TrainTask:
    """The task, with the wrong labels or the poison that were requested in its data, if any were.

    UserError if both were, or a part of an attack without ``poison``.
    """
    names = WrongLabelOptions.names()
    published = task.dataset.clean if isinstance(task.dataset, PlantedDataset) else task.dataset
    split = task.spec().split(published)  # refuses sizes that do not fit
    with typed_as(prefix, names):
        options = WrongLabelOptions.of({name: given[name] for name in names if name in given})
        labels = WrongLabels.choose(options, published, split, task.recipe.split.split_seed)
    attack = {n: one for n, one in given.items() if _plants(n) and n not in names}
    if attack.get("poison") in (None, "none"):
        if stray := [n for n, one in attack.items() if n != "poison" and one is not None]:
            raise UserError(
                f"{stray[0]}={attack[stray[0]]} is of an attack; say which training images carry "
                "its trigger (poison=random:10%, say), or leave it out"
            )
        return task if labels is None else replace(task, dataset=labels.apply(published))
    if labels is not None:
        raise UserError(
            f"{labels.forget} and poison={attack['poison']}: one original has wrong labels or a "
            "backdoor; leave one of them out"
        )
    trigger = {
        n.removeprefix(TRIGGER_PREFIX): one
        for n, one in attack.items()
        if n.startswith(TRIGGER_PREFIX)
    }
    made = {name: value for name, value in attack.items() if name in PoisonOptions.names()}
    return poisoned(replace(task, dataset=published), made, trigger)


def poisoned(task: TrainTask, given: Mapping[str, Any], trigger: Mapping[str, Any]) -> TrainTask:
    """The task on published data, with the poison in it that was requested; the rest by default.

    ``trigger``: settings of the trigger, without their prefix.
    """
    if given.get("poison") == POISON:
        raise UserError("poison=poison: say which images, such as random:10% or class:5:60")
    split, seed = task.spec().split(task.dataset), task.recipe.split.split_seed
    poison = Poison.choose(PoisonOptions.of(given), trigger, task.dataset, split, seed)
    return replace(task, dataset=poison.apply(task.dataset))


def task_under_mask(
    store: Store, run_id: str, given: Mapping[str, Any], device: DeviceOptions
) -> TrainTask:
    """An original to be trained under the mask of a run; what is not given is as in that run.

    UserError if the run holds no mask, it does not fit, or a setting would find another one.
    """
    checkpoint = fetch_checkpoint(store, run_id)
    upstream = checkpoint.spec.recipe
    finding = {"pruner", *pruner_class(upstream.pruner).names(), *Rewinding.names()}
    for name, value in given.items():
        if name in finding and value is not None:
            raise UserError(
                f"{name}={value}: mask_run_id brings its mask, so nothing is pruned; "
                f"leave {name} out, or leave mask_run_id out"
            )
    inherited = _inherited(checkpoint.spec, given)
    settings = {**inherited, **given}
    task = requested_task(settings, device)
    mask, recipe = checkpoint.mask, replace(task.recipe, given_mask=checkpoint.mask.fingerprint)
    if task.dataset.fingerprint == checkpoint.spec.data.fingerprint:
        recipe = replace(recipe, trained_on=upstream.trained_on)
    model = recipe.model.build(recipe.seed)
    mask.check(model)
    names = prunable(model, recipe.make_pruner().scope, head_name(model, recipe.model))
    if more := [one for one in names if one not in mask]:
        raise UserError(
            f"the mask of run {run_id} does not name {more[0]!r}, which the model has; "
            "use the mask with the architecture that it was made for"
        )
    return _planted(replace(task, recipe=recipe, mask=mask, mask_run_id=run_id), settings)


def _inherited(spec: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an original that another one takes over with its mask."""
    settings = {**spec.settings(), "data_dir": spec.data.data_dir}
    other = {
        name
        for name in ("profile", "dataset", "arch")
        if given.get(name) is not None and not same_value(str(settings[name]), given[name])
    }
    # Nothing is rewound, so the epoch need not fit; which samples were listed is no setting.
    dropped = {"rewind_epoch", "trained_on"}
    dropped |= set() if spec.recipe.rewinds else {"rewind"}
    dropped |= {*Training.names()} if other else set()  # another one brings its own defaults
    dropped |= {"data_dir", "image_size"} if "dataset" in other else set()
    return {name: value for name, value in settings.items() if name not in dropped}


def _interrupted_task(store: Store, run_id: str, request: Request) -> TrainTask:
    """What an interrupted run was to train, and how far it came."""
    found = interrupted(store, run_id, "prune")
    kept = found.document
    spec = Spec.from_dict(kept["spec"], trusted_by(found.run))
    attack = spec.data.poison.options() if spec.data.poison else {}
    made = {**spec.settings(), **attack, **kept_device(kept)}
    given = spelled(settings_given(request.original), spec.data)
    given = attack_spelled(given, spec.data.classes)
    device = resumed_on(found, made, given, request.device)
    mask_run_id, progress = kept["mask_run_id"], found.progress
    mask = None
    if spec.recipe.given_mask:
        mask = progress.mask if progress else fetch_checkpoint(store, mask_run_id).mask
    dataset = data_of(spec, request.original)
    return TrainTask(dataset, spec.recipe, device, mask, mask_run_id, progress, run_id)


def train(
    store: Store, task: TrainTask, parent: str | None = None, register: str | None = None
) -> TrackedModel:
    """Train and prune in a run of its own, for the run ``parent`` if there is one."""
    title = name_original(task.spec(), None if task.mask is None else task.mask.sparsity)
    work, resume = partial(_train, task), task.resume_run_id
    return run_task(store, "prune", title, work, resume=resume, parent=parent, register=register)[1]


def _train(task: TrainTask, recorder: Recorder) -> TrackedModel:
    """The work of the run: announce what it is, train, evaluate, keep."""
    if task.resume_run_id is None:
        keep_document(recorder, task.document())
    dataset, spec, stages = task.dataset, task.spec(), task.stages()
    poison = spec.data.poison
    settings = {
        **spec.settings(),
        **(poison.options() if poison else {}),
        "data_dir": dataset.data_dir,
        "mask_run_id": task.mask_run_id,
    }
    recorder.params(settings)
    log_data(recorder, dataset)
    planted = fingerprint_tag(poison.fingerprint) if poison else None
    data, key = (fingerprint_tag(one) for one in (dataset.fingerprint, spec.fingerprint))
    # At once: who asks for records to be forgotten meanwhile must find it.
    recorder.tags({tags.DATA: data, tags.ORIGINAL_KEY: key, tags.POISON: planted})
    run = make_run(task.device, recorder, task.recipe.seed)
    run.place(task.recipe.model.build(task.recipe.seed), dataset.shape)
    record_rounding(recorder, run, resumed=task.resume_run_id is not None)
    checkpoint, seconds = _trained(task, run, recorder)
    metrics = {**evaluate_original(checkpoint, dataset, run), "train_s": seconds}
    run.log("TA", metrics["TA"], stages[-1].round)
    others = {name: one for name, one in metrics.items() if name not in ("TA", "sparsity")}
    run.log_all(others, 1 + max((step for step, _ in run.history("loss")), default=-1))
    rows = prose.rounds_table(run, stages)
    text = prose.describe_prune(checkpoint, metrics, rows, recorder.run_id)
    save_network(recorder, checkpoint, metrics, text, {tags.UPSTREAM: task.mask_run_id})
    plots.plot_history(run, recorder.folder / "plots" / "training.png", stages)
    if len(stages) > 1:
        plots.plot_sparsity(rows, recorder.folder / "plots" / "sparsity.png")
    write_json(recorder.folder / "config.json", {**settings, **device_in_force(task.device, run)})
    console.print_notes(run.notes)
    return TrackedModel(recorder.run_id, checkpoint, metrics)


def _trained(task: TrainTask, run: Run, recorder: Recorder) -> tuple[Checkpoint, float]:
    """The original and the seconds it took, those of interrupted processes included."""
    test, last = task.dataset.test_subset(), task.stages()[-1].round

    def log_accuracy(number: int, model: nn.Module, run: Run) -> None:
        if number != last:  # the finished network is evaluated in any case
            run.log("TA", predict(model, test, run).accuracy(), number)

    with (
        run_checkpointer(recorder, task.document(), task.progress) as checkpointer,
        run.stopwatch() as seconds,
    ):
        checkpoint = train_original(
            task.dataset,
            task.recipe,
            run,
            mask=task.mask,
            checkpointer=checkpointer,
            after_round=log_accuracy,
        )
    return checkpoint, run.seconds_before + seconds[0]


def print_original(
    store: Store, original: TrackedModel, about: Mapping[str, str] | None = None
) -> None:
    """What a run that made an original prints when it is done, after the lines of ``about``."""
    metrics, spec, run_id = original.metrics, original.spec(), original.run_id
    numbers = {name: f"{metrics[name]:.2f} %" for name in ("train_acc", "TA", "sparsity")}
    if "train_s" in metrics:
        numbers["train_s"] = f"{metrics['train_s']:.1f} s"
    console.print_summary(
        f"original: {prose.describe_model(spec, metrics['sparsity'])}",
        {
            **(about or {}),
            **numbers,
            "run": run_id,
            **next_steps("prune", run_id, registered_as(store, run_id), prose.forget_first(spec)),
            "browse": browse(store, "mu-prune"),
        },
    )
