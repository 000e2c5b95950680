"""Making an original as a tracked run; ``prune`` does just that, others when they find none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from entrypoints.options import PLAIN_NAMES, DataOptions, DeviceOptions
from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.evaluation import predict
from mu.masks import Mask
from mu.originals import make_recipe, train_original
from mu.profiles import DEFAULT_PROFILE
from mu.pruning import pruner_class
from mu.recipes import Recipe, Rewinding
from mu.report import console, plots, prose
from mu.resume import Progress
from mu.runs import Run
from mu.tracking import (
    Recorder,
    Store,
    fetch_checkpoint,
    fetch_progress,
    fingerprint_tags,
    remove_progress,
    resumable_run,
    rounded,
    run_keeper,
    same_value,
    tracked,
    view_url,
)


@dataclass(frozen=True)
class Original:
    """An original and the run that holds it."""

    run_id: str
    checkpoint: Checkpoint
    metrics: Mapping[str, float]


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

    def about(self) -> dict[str, Any]:
        """What is kept with the progress, so that the order can be given again."""
        return {
            "spec": self.spec().as_dict(),
            "mask_run_id": self.mask_run_id,
            "precision": self.device.precision,
        }


# --- orders -------------------------------------------------------------------------------


def order_asked(given: Mapping[str, Any], device: DeviceOptions) -> Order:
    """The original that was asked for, with defaults for the rest."""
    data = DataOptions.of({n: v for n, v in given.items() if n in DataOptions.names()})
    rest = {name: value for name, value in given.items() if name not in DataOptions.names()}
    dataset = load_data(data.dataset, data.data_dir, data.image_size)
    order = Order(dataset, make_recipe(dataset, **rest), device)
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
    for name in finding & {*given}:
        raise UserError(
            f"{name}={given[name]}: mask_run_id brings its mask, so nothing is pruned; "
            f"leave {name} out, or leave mask_run_id out"
        )
    inherited = {**checkpoint.spec.settings(), "data_dir": checkpoint.spec.data.data_dir}
    for name in ("profile", "dataset", "arch"):  # another one brings its own defaults
        if name in given and not same_value(str(inherited[name]), given[name]):
            keep = {"pruner", *upstream.pruning, *Rewinding.names(), *PLAIN_NAMES, "profile"}
            inherited = {one: value for one, value in inherited.items() if one in keep}
    order = order_asked({**inherited, **given}, device)
    checkpoint.mask.check(order.recipe.model.build(order.recipe.seed))
    return replace(order, mask=checkpoint.mask, mask_run_id=run_id)


def order_of_interrupted(
    store: Store, run_id: str, given: Mapping[str, Any], device: Mapping[str, Any]
) -> Order:
    """What an interrupted run was making, and how far it came.

    Raises
    ------
    UserError
        If it cannot be resumed, or what is given contradicts how it was started.
    """
    progress, about = fetch_progress(store, resumable_run(store, run_id))
    spec = Spec.from_dict(about["spec"])
    settings = {**spec.settings(), "precision": about["precision"]}
    said = {n: v for n, v in {**given, **device}.items() if n not in ("data_dir", "device")}
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


def data_of(spec: Spec, given: Mapping[str, Any]) -> ImageDataset:
    """The data of an original, from where it lay or from ``data_dir``; checked to be the same."""
    data_dir = given.get("data_dir") or spec.data.data_dir
    dataset = load_data(spec.data.name, data_dir, spec.data.image_size)
    spec.data.check(dataset)
    return dataset


def refuse_contradictions(
    run_id: str, settings: Mapping[str, Any], said: Mapping[str, Any], prefix: str = ""
) -> None:
    """Refuse what was said where a run was made otherwise.

    Parameters
    ----------
    prefix
        Of the options that are not :data:`PLAIN_NAMES`, as they are typed.
    """
    for name, value in said.items():
        if value is not None and not same_value(str(settings.get(name)), value):
            typed = name if name in PLAIN_NAMES else f"{prefix}{name}"
            raise UserError(
                f"{typed}={value} contradicts run {run_id}, which has "
                f"{name}={settings.get(name)}; leave {typed} out, or name another run"
            )


# --- making -------------------------------------------------------------------------------


def make_original(store: Store, order: Order) -> Original:
    """Train and prune in a run of its own, or in the one that MLflow's launcher opened."""
    dataset, recipe = order.dataset, order.recipe
    with tracked(store, "prune", run_name(recipe), resume=order.resume_run_id) as recorder:
        settings = {
            **order.spec().settings(),
            "data_dir": dataset.data_dir,
            "mask_run_id": order.mask_run_id,
        }
        recorder.params(settings)
        run = Run(
            device=order.device.device,
            precision=order.device.precision,
            seed=recipe.seed,
            folder=recorder.folder,
            sink=recorder.metrics,
        )
        checkpoint, seconds = _train(order, run, recorder)
        metrics = {**_evaluate(checkpoint, dataset, run), "train_s": seconds}
        run.log_all(
            {name: metrics[name] for name in ("train_acc", "VA", "train_s") if name in metrics},
            _next_step(run),
        )
        _hand_on(recorder, checkpoint, order, metrics, run)
        write_json(recorder.folder / "config.json", {**settings, **order.device.as_dict()})
    remove_progress(recorder)
    console.print_notes(run.notes)
    return Original(recorder.run_id, checkpoint, metrics)


def run_name(recipe: Recipe) -> str:
    """Short, as the runs table shows about twenty letters: ``resnet18 imp 67.2 %``."""
    pruner = recipe.make_pruner()
    words = [recipe.model.arch.partition(":")[2] or recipe.model.arch]
    words += [recipe.profile] if recipe.profile != DEFAULT_PROFILE else []
    words += [recipe.pruner] if recipe.pruner not in ("omp", recipe.profile) and pruner.rate else []
    return " ".join([*words, f"{100 * (1 - (1 - pruner.rate) ** pruner.rounds):.3g} %"])


def _train(order: Order, run: Run, recorder: Recorder) -> tuple[Checkpoint, float]:
    """The original and the seconds it took, those of interrupted processes included."""

    def after_round(number: int, model: nn.Module) -> None:
        run.log("TA", predict(model, order.dataset.test_subset(), run).accuracy(), number)

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
            after_round=after_round,
        )
    return checkpoint, run.seconds_before + seconds[0]


def _evaluate(checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """Accuracy on plain training, validation and test images, and the sparsity."""
    parts = checkpoint.spec.split(dataset)
    sets = {
        "train_acc": dataset.training_subset(parts.train),
        "VA": dataset.training_subset(parts.val),
        "TA": dataset.test_subset(),
    }
    found = {
        name: predict(checkpoint.model, part, run).accuracy()
        for name, part in sets.items()
        if len(part)
    }
    return {**found, "sparsity": checkpoint.mask.sparsity}


def _hand_on(
    recorder: Recorder,
    checkpoint: Checkpoint,
    order: Order,
    metrics: Mapping[str, float],
    run: Run,
) -> None:
    """Write everything that the run's page shows and later runs take."""
    digests = checkpoint.save(recorder.folder)
    tags = {**fingerprint_tags(digests), "mu.data": order.dataset.fingerprint[:16]}
    if order.mask_run_id:
        tags["mu.upstream"] = order.mask_run_id
    recorder.tags(tags)
    stages = order.recipe.stages(mask_is_known=order.mask is not None)
    rows = prose.rounds_table(run, stages)
    plots.plot_layers(checkpoint.mask, recorder.folder / "mask" / "layers.png")
    plots.plot_history(run, recorder.folder / "plots" / "training.png", stages)
    if len(stages) > 1:
        plots.plot_sparsity(rows, recorder.folder / "plots" / "sparsity.png")
    write_json(recorder.folder / "metrics.json", {n: rounded(v) for n, v in metrics.items()})
    text = prose.describe_prune(checkpoint, metrics, rows, recorder.run_id)
    recorder.describe(text)
    report = recorder.folder / "report" / "summary.md"
    report.parent.mkdir()
    report.write_text(text)


def _next_step(run: Run) -> int:
    return 1 + max((step for step, _ in run.history("loss")), default=-1)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as JSON."""
    path.write_text(json.dumps(values, indent=1, default=str) + "\n")


def print_original(store: Store, original: Original) -> None:
    """What a prune run says when it is done."""
    metrics, spec = original.metrics, original.checkpoint.spec
    run_id = original.run_id
    console.print_summary(
        f"original: {prose.describe_model(spec, metrics['sparsity'])}",
        {
            "train_acc": f"{metrics['train_acc']:.2f} %",
            "TA": f"{metrics['TA']:.2f} %",
            "sparsity": f"{metrics['sparsity']:.2f} %",
            "train_s": f"{metrics['train_s']:.1f} s",
            "run": run_id,
            "unlearn": f"mlflow run . -e unlearn -P prune_run_id={run_id} -P forget=class:0",
            "mask": f"mlflow artifacts download -r {run_id} -a mask -d DIR",
            "browse": browse(store, "mu-prune"),
        },
    )


def browse(store: Store, view: str) -> str:
    """How to see the runs: the link, and for a local store the command that serves it."""
    url = view_url(store.uri, store.experiment_id, view)
    if store.uri.startswith("http"):
        return url
    return f"mlflow server --backend-store-uri {store.uri}   then open {url}"
