"""Making an original as a tracked run; ``prune`` does just that, others when they find none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from entrypoints.found_originals import data_of, refuse_contradictions, said_of_original
from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.cli.handover import (
    Original,
    evaluate_original,
    hand_on,
    log_data,
    run_name,
    write_json,
)
from mu.cli.originals import PLAIN_NAMES, DeviceOptions, load_asked
from mu.data.images import ImageDataset, Subset
from mu.data.poison import PoisonedDataset
from mu.errors import UserError
from mu.evaluation import predict
from mu.hyperparameters import typed_as
from mu.masks import Mask
from mu.originals import make_recipe, train_original
from mu.pruning import pruner_class
from mu.pruning.base import prunable
from mu.recipes import Recipe, Rewinding, Stage
from mu.report import console, plots, prose
from mu.resume import Progress
from mu.runs import Run
from mu.tracking import (
    ORIGINAL_TAG,
    POISON_TAG,
    Recorder,
    Store,
    fetch_checkpoint,
    fetch_progress,
    fingerprint_tag,
    remove_progress,
    resumable_run,
    run_keeper,
    same_value,
    tracked,
)
from mu.training.recipe import Training


@dataclass(frozen=True)
class Order:
    """An original that is to be made.

    Parameters
    ----------
    mask, mask_run_id
        The mask to train under and the run it comes from, where it is not to be found.
    progress, resume_run_id
        What to go on from, and in which run.
    """

    dataset: ImageDataset
    recipe: Recipe
    device: DeviceOptions = field(default_factory=DeviceOptions)
    mask: Mask | None = None
    mask_run_id: str | None = None
    progress: Progress | None = None
    resume_run_id: str | None = None

    def spec(self) -> Spec:
        """Data and recipe."""
        return Spec(DataSpec.of(self.dataset), self.recipe)

    def stages(self) -> list[Stage]:
        """The trainings that make it."""
        return self.recipe.stages(mask_is_known=self.mask is not None)

    def about(self) -> dict[str, Any]:
        """What is kept with the progress, so that the order can be given again."""
        return {
            "spec": self.spec().as_dict(),
            "mask_run_id": self.mask_run_id,
            "precision": self.device.precision,
        }


# --- orders -------------------------------------------------------------------------------


def order_asked(given: Mapping[str, Any], device: DeviceOptions, prefix: str = "") -> Order:
    """The original that was asked for, with defaults for the rest.

    Parameters
    ----------
    prefix
        Of the options that are not plain, as they are typed.
    """
    return order_on(*load_asked(given), device, prefix)


def order_on(
    dataset: ImageDataset, rest: Mapping[str, Any], device: DeviceOptions, prefix: str = ""
) -> Order:
    """:func:`order_asked`, on data that is loaded; ``rest`` is what was given beside it."""
    with typed_as(prefix, [name for name in rest if name not in PLAIN_NAMES]):
        recipe = make_recipe(dataset, **rest)
    for name in Rewinding.names():
        if rest.get(name) is not None and not recipe.rewinds:
            raise UserError(
                f"{name}={rest[name]}: pruner {recipe.pruner} looks at initial weights, so nothing "
                f"is rewound; leave {name} out, or give when=trained"
            )
    order = Order(dataset, recipe, device)
    order.spec().split(dataset)  # refuses sizes that do not fit
    return order


def order_under_mask(
    store: Store, run_id: str, given: Mapping[str, Any], device: DeviceOptions
) -> Order:
    """An original to be trained under the mask of a run; what is not given is as in that run.

    Raises
    ------
    UserError
        If the run holds no mask, the mask does not fit, or a setting would find another one.
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
    order = order_asked({**inherited, **given}, device)
    mask, recipe = checkpoint.mask, replace(order.recipe, given_mask=checkpoint.mask.fingerprint)
    model = recipe.model.build(recipe.seed)
    mask.check(model)
    if more := [one for one in prunable(model, recipe.make_pruner().scope) if one not in mask]:
        raise UserError(
            f"the mask of run {run_id} does not name {more[0]!r}, which the model has; "
            "use the mask with the architecture that it was made for"
        )
    return replace(order, recipe=recipe, mask=mask, mask_run_id=run_id)


def _inherited(spec: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an original that another one takes over with its mask."""
    settings = {**spec.settings(), "data_dir": spec.data.data_dir}
    other = {
        name
        for name in ("profile", "dataset", "arch")
        if given.get(name) is not None and not same_value(str(settings[name]), given[name])
    }
    dropped = {"rewind_epoch"}  # nothing is rewound, so it need not fit the epochs
    dropped |= set() if spec.recipe.rewinds else {"rewind"}
    dropped |= {*Training.names()} if other else set()  # another one brings its own defaults
    dropped |= {"data_dir", "image_size"} if "dataset" in other else set()
    return {name: value for name, value in settings.items() if name not in dropped}


def order_of_interrupted(
    store: Store, run_id: str, given: Mapping[str, Any], device: Mapping[str, Any]
) -> Order:
    """What an interrupted run was making, and how far it came.

    Raises
    ------
    UserError
        If it cannot be resumed, or what is given contradicts how it was started.
    """
    progress, about = fetch_progress(store, resumable_run(store, run_id, "prune"))
    spec = Spec.from_dict(about["spec"])
    settings = {**spec.settings(), "precision": about["precision"]}
    said = {**said_of_original(given), **{n: v for n, v in device.items() if n == "precision"}}
    refuse_contradictions(run_id, settings, said)
    dataset = data_of(spec, given)
    return Order(
        dataset,
        spec.recipe,
        DeviceOptions.of({**device, "precision": about["precision"]}),
        mask=progress.mask if spec.recipe.given_mask else None,
        mask_run_id=about["mask_run_id"],
        progress=progress,
        resume_run_id=run_id,
    )


# --- making -------------------------------------------------------------------------------


def make_original(store: Store, order: Order, parent: str | None = None) -> Original:
    """Train and prune in a run of its own, or in the one that MLflow's launcher opened.

    Parameters
    ----------
    parent
        ID of the run that it is made for.
    """
    dataset, recipe = order.dataset, order.recipe
    poison = dataset.poison if isinstance(dataset, PoisonedDataset) else None
    name = run_name(recipe) + (f", {poison.trigger}" if poison else "")
    with tracked(store, "prune", name, resume=order.resume_run_id, parent=parent) as recorder:
        settings = {
            **order.spec().settings(),
            **(poison.options() if poison else {}),
            "data_dir": dataset.data_dir,
            "mask_run_id": order.mask_run_id,
        }
        recorder.params(settings)
        log_data(recorder, dataset)
        recorder.tags({POISON_TAG: fingerprint_tag(poison.fingerprint)} if poison else {})
        recorder.tags({ORIGINAL_TAG: fingerprint_tag(order.spec().fingerprint)})
        # At once: it is needed to go on, if this process is killed.
        print(f"prune run {recorder.run_id}", file=sys.stderr, flush=True)
        run = Run(
            **order.device.as_dict(),
            seed=recipe.seed,
            folder=recorder.folder,
            sink=recorder.metrics,
        )
        checkpoint, seconds = _train(order, run, recorder)
        metrics = {**evaluate_original(checkpoint, dataset, run), "train_s": seconds}
        run.log("TA", metrics["TA"], order.stages()[-1].round)
        others = {name: one for name, one in metrics.items() if name not in ("TA", "sparsity")}
        run.log_all(others, _next_step(run))
        _hand_on(recorder, checkpoint, order, metrics, run)
        write_json(recorder.folder / "config.json", {**settings, **order.device.as_dict()})
    remove_progress(recorder)
    console.print_notes(run.notes)
    return Original(recorder.run_id, checkpoint, metrics)


def _train(order: Order, run: Run, recorder: Recorder) -> tuple[Checkpoint, float]:
    """The original and the seconds it took, those of interrupted processes included."""
    with (
        run_keeper(recorder, order.about(), order.progress) as keeper,
        run.stopwatch() as seconds,
    ):
        checkpoint = train_original(
            order.dataset,
            order.recipe,
            run,
            mask=order.mask,
            keeper=keeper,
            after_round=_TestAccuracy(order.dataset.test_subset(), order.stages()[-1].round),
        )
    return checkpoint, run.seconds_before + seconds[0]


@dataclass(frozen=True)
class _TestAccuracy:
    """Logs the accuracy on test images after each round but the last.

    The finished network is evaluated in any case.
    """

    test: Subset
    last: int

    def __call__(self, number: int, model: nn.Module, run: Run) -> None:
        if number != self.last:
            run.log("TA", predict(model, self.test, run).accuracy(), number)


def _hand_on(
    recorder: Recorder,
    checkpoint: Checkpoint,
    order: Order,
    metrics: Mapping[str, float],
    run: Run,
) -> None:
    """Write everything that the run's page shows and later runs take."""
    stages = order.stages()
    rows = prose.rounds_table(run, stages)
    text = prose.describe_prune(checkpoint, metrics, rows, recorder.run_id)
    tags = {"mu.upstream": order.mask_run_id} if order.mask_run_id else {}
    hand_on(recorder, checkpoint, metrics, text, tags)
    plots.plot_history(run, recorder.folder / "plots" / "training.png", stages)
    if len(stages) > 1:
        plots.plot_sparsity(rows, recorder.folder / "plots" / "sparsity.png")


def _next_step(run: Run) -> int:
    return 1 + max((step for step, _ in run.history("loss")), default=-1)
