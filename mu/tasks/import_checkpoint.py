"""The command mu import: a checkpoint that another program trained, as a finished prune run."""

from __future__ import annotations

import sys

import torch

from mu import tags
from mu.cli.requests import DeviceOptions, ImportOptions, Request
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.foreign.files import read_weight_file
from mu.foreign.originals import Imported, import_original
from mu.report import console, prose
from mu.tasks.base import checked_device, make_run, run_task
from mu.tasks.outputs import save_network, write_json
from mu.tasks.problem import TrackedModel
from mu.tasks.prune import evaluate_original, print_original
from mu.tasks.resolve import load_requested
from mu.tracking import Recorder, connect

NEAR_CHANCE = 0.1  # of the way from chance to 100 %


def import_checkpoint(request: Request, file: str) -> TrackedModel:
    """Read and check the file, open a run, evaluate the network, and keep it as an original."""
    given = ImportOptions.of(request.entry).as_dict()
    normalisation = {name: _numbers(name, text) for name, text in given.items()}
    device = checked_device(DeviceOptions.of(request.device))
    weights = read_weight_file(file)
    dataset, settings = load_requested(request.original)
    imported = import_original(weights, dataset, **settings, **normalisation)
    checkpoint = imported.checkpoint
    recipe, data_dir = checkpoint.spec.recipe, dataset.data_dir
    dataset = checkpoint.spec.data.bind(dataset)
    store = connect()

    def work(recorder: Recorder) -> tuple[TrackedModel, list[str]]:
        params = {**checkpoint.spec.settings(), "data_dir": data_dir}
        recorder.params(params)
        run = make_run(device, recorder, recipe.seed)
        metrics = evaluate_original(checkpoint, dataset, run)
        run.log_all(metrics, 0)
        warnings = _warnings(imported, dataset, metrics["train_acc"])
        notes, digest = [*warnings, *imported.notes], imported.file.digest
        text = prose.describe_import(checkpoint, metrics, imported.taken, notes, recorder.run_id)
        save_network(recorder, checkpoint, metrics, text, {tags.IMPORTED: digest[:16]})
        source = {**imported.taken, "sha256": digest}
        config = {**params, **device.as_dict(), "imported": source}
        write_json(recorder.folder / "config.json", config)
        return TrackedModel(recorder.run_id, checkpoint, metrics), warnings

    _, (original, warnings) = run_task(
        store, "prune", f"{prose.name_original(recipe)} import", work
    )
    console.print_notes(imported.notes)
    print_original(store, original, imported.taken)
    for one in warnings:
        print(f"warning: {one}", file=sys.stderr)
    return original


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UserError(
            f"{name}={text!r}: give a number for each channel, as 0.5,0.5,0.5"
        ) from None


def _warnings(imported: Imported, dataset: ImageDataset, train_acc: float) -> list[str]:
    """What looks wrong in how well the network knows its training images."""
    parts = imported.checkpoint.spec.split(dataset)
    labels = dataset.train.labels[torch.from_numpy(parts.train)]
    chance = 100 * float(labels.bincount().max()) / len(labels)
    if train_acc > chance + NEAR_CHANCE * (100 - chance):
        return []
    return [
        f"train_acc {train_acc:.2f} % is near chance ({chance:.2f} %): dataset, order of classes, "
        "mean and std, stem or arch is probably not the file's"
    ]
