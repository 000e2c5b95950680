"""Making an original as a tracked run; ``prune`` does just that, others when they find none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoints.options import DataOptions, DeviceOptions
from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.data.images import ImageDataset
from mu.evaluation import predict
from mu.originals import make_recipe, train_original
from mu.recipes import Recipe
from mu.report import console, plots, prose
from mu.runs import Run
from mu.tracking import Store, fingerprint_tags, tracked, view_url


@dataclass(frozen=True)
class Original:
    """An original and the run that holds it."""

    run_id: str
    checkpoint: Checkpoint
    metrics: Mapping[str, float]


def load_asked(given: Mapping[str, Any]) -> tuple[ImageDataset, Recipe]:
    """The data and the recipe that were asked for, with defaults for the rest."""
    data = DataOptions.of({n: v for n, v in given.items() if n in DataOptions.names()})
    rest = {name: value for name, value in given.items() if name not in DataOptions.names()}
    dataset = load_data(data.dataset, data.data_dir, data.image_size)
    recipe = make_recipe(dataset, **rest)
    Spec(DataSpec.of(dataset), recipe).split(dataset)  # refuses sizes that do not fit
    return dataset, recipe


def make_original(
    store: Store, dataset: ImageDataset, recipe: Recipe, device: DeviceOptions
) -> Original:
    """Train and prune in a run of its own, or in the one that MLflow's launcher opened."""
    rate = float(recipe.pruning["rate"])
    with tracked(store, "prune", f"{recipe.model.arch} {100 * rate:g} %") as recorder:
        spec = Spec(DataSpec.of(dataset), recipe)
        settings = {**spec.settings(), "data_dir": dataset.data_dir}
        recorder.params(settings)
        run = Run(
            device=device.device,
            precision=device.precision,
            seed=recipe.seed,
            folder=recorder.folder,
            sink=recorder.metrics,
        )
        with run.stopwatch() as seconds:
            checkpoint = train_original(dataset, recipe, run)
        metrics = _evaluate(checkpoint, dataset, run)
        metrics["train_s"] = seconds[0]
        run.log_all(metrics, _next_step(run))
        digests = checkpoint.save(recorder.folder)
        recorder.tags({**fingerprint_tags(digests), "mu.data": dataset.fingerprint[:16]})
        plots.plot_layers(checkpoint.mask, recorder.folder / "mask" / "layers.png")
        plots.plot_history(run, recorder.folder / "plots" / "training.png")
        write_json(recorder.folder / "metrics.json", metrics)
        write_json(recorder.folder / "config.json", {**settings, **device.as_dict()})
        recorder.describe(prose.describe_prune(checkpoint, metrics, recorder.run_id))
    console.print_notes(run.notes)
    return Original(recorder.run_id, checkpoint, metrics)


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
