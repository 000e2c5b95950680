"""What a run that makes an original shows and hands on, whichever command opened it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset
from mu.evaluation import predict
from mu.evaluation.backdoor import backdoor
from mu.profiles import DEFAULT_PROFILE, profile
from mu.recipes import Recipe
from mu.report import console, plots, prose
from mu.runs import Run
from mu.tracking import (
    Recorder,
    Store,
    fingerprint_tag,
    fingerprint_tags,
    log_dataset,
    rounded,
    run_url,
    save_checkpoint,
    view_url,
)


@dataclass(frozen=True)
class Original:
    """An original and the run that holds it."""

    run_id: str
    checkpoint: Checkpoint
    metrics: Mapping[str, float]


def run_name(recipe: Recipe) -> str:
    """Short, as the runs table shows about twenty letters: ``resnet18 imp 67.2 %``."""
    pruner = recipe.make_pruner()
    words = [recipe.model.arch.partition(":")[2] or recipe.model.arch]
    words += [recipe.profile] if recipe.profile != DEFAULT_PROFILE else []
    chosen = recipe.pruner != profile(recipe.profile).pruner
    words += [recipe.pruner] if chosen and pruner.rate else []
    words += ["given mask"] if recipe.given_mask else []
    return " ".join([*words, f"{100 * (1 - (1 - pruner.rate) ** pruner.rounds):.3g} %"])


def log_data(recorder: Recorder, dataset: ImageDataset) -> None:
    """Have the run's page show which data it used."""
    profile = {
        "train": len(dataset.train),
        "test": len(dataset.test),
        "shape": list(dataset.shape),
        "classes": list(dataset.classes),
        "poisoned": len(dataset.poisoned),
    }
    place = dataset.data_dir or dataset.name
    log_dataset(recorder, dataset.name, fingerprint_tag(dataset.fingerprint), place, profile)


def evaluate_original(checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """Accuracy on plain training, validation and test images, and the sparsity.

    Of a poisoned original also how far its backdoor works.
    """
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
    attacked = backdoor(checkpoint.model, dataset, run)
    return {**found, **attacked, "sparsity": checkpoint.mask.sparsity}


def hand_on(
    recorder: Recorder,
    checkpoint: Checkpoint,
    metrics: Mapping[str, float],
    text: str,
    tags: Mapping[str, str],
) -> None:
    """Write what later runs take and every original's page shows.

    Parameters
    ----------
    text
        The description of the run, in Markdown.
    tags
        Beside the fingerprints.
    """
    digests = save_checkpoint(recorder, checkpoint)
    data = fingerprint_tag(checkpoint.spec.data.fingerprint)
    recorder.tags({**fingerprint_tags(digests), "mu.data": data, **tags})
    plots.plot_layers(checkpoint.mask, recorder.folder / "mask" / "layers.png")
    write_json(recorder.folder / "metrics.json", {n: rounded(v) for n, v in metrics.items()})
    recorder.describe(text)
    report = recorder.folder / "report" / "summary.md"
    report.parent.mkdir()
    report.write_text(text)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as JSON."""
    path.write_text(json.dumps(values, indent=1, default=str) + "\n")


def print_original(
    store: Store, original: Original, about: Mapping[str, str] | None = None
) -> None:
    """What a run that made an original says when it is done.

    Parameters
    ----------
    about
        Lines that come before the numbers, by name.
    """
    metrics, spec = original.metrics, original.checkpoint.spec
    run_id = original.run_id
    numbers = {name: f"{metrics[name]:.2f} %" for name in ("train_acc", "TA", "sparsity")}
    if "train_s" in metrics:
        numbers["train_s"] = f"{metrics['train_s']:.1f} s"
    console.print_summary(
        f"original: {prose.describe_model(spec, metrics['sparsity'])}",
        {
            **(about or {}),
            **numbers,
            "run": run_id,
            "unlearn": f"mlflow run . -e unlearn -P prune_run_id={run_id} "
            f"-P forget={prose.forget_first(spec)}",
            "mask": f"mlflow artifacts download -r {run_id} -a mask -d DIR",
            "browse": browse(store, "mu-prune"),
        },
    )


def browse(store: Store, view: str | None = None, *, run_id: str | None = None) -> str:
    """How to see the runs of a view, or one run: the link, and what serves a local store."""
    if run_id is not None:
        url = run_url(store.uri, store.experiment_id, run_id)
    else:
        assert view is not None
        url = view_url(store.uri, store.experiment_id, view)
    if store.uri.startswith("http"):
        return url
    return f"mlflow server --backend-store-uri {store.uri}   then open {url}"
