"""Importing an original as a tracked run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

from mu.cli.handover import (
    Original,
    evaluate_original,
    hand_on,
    print_original,
    run_name,
    write_json,
)
from mu.cli.originals import DeviceOptions, load_asked
from mu.data.images import ImageDataset
from mu.foreign.files import read_weight_file
from mu.foreign.originals import Imported, import_original
from mu.report import console, prose
from mu.runs import Run
from mu.tracking import connect, tracked

NEAR_CHANCE = 0.1  # of the way from chance to 100 %


def import_file(file: str, given: Mapping[str, Any], device: DeviceOptions) -> None:
    """Read and check the file, open a run, evaluate the network, and hand it on.

    Parameters
    ----------
    given
        What was given explicitly: data, and the settings of
        :func:`mu.foreign.originals.import_original`.
    """
    device.check()
    weights = read_weight_file(file)
    dataset, settings = load_asked(given)
    imported = import_original(weights, dataset, **settings)
    checkpoint, digest = imported.checkpoint, imported.file.digest
    recipe, data_dir = checkpoint.spec.recipe, dataset.data_dir
    dataset = checkpoint.spec.data.bind(dataset)
    store = connect()
    with tracked(store, "prune", f"{run_name(recipe)} import") as recorder:
        params = {**checkpoint.spec.settings(), "data_dir": data_dir}
        recorder.params(params)
        run = Run(
            **device.as_dict(), seed=recipe.seed, folder=recorder.folder, sink=recorder.metrics
        )
        metrics = evaluate_original(checkpoint, dataset, run)
        run.log_all(metrics, 0)
        taken, notes = imported.taken, imported.notes
        warnings = _warnings(imported, dataset, metrics["train_acc"])
        text = prose.describe_import(
            checkpoint, metrics, taken, [*warnings, *notes], recorder.run_id
        )
        hand_on(recorder, checkpoint, metrics, text, {"mu.imported": digest[:16]})
        config = {**params, **device.as_dict(), "imported": {**taken, "sha256": digest}}
        write_json(recorder.folder / "config.json", config)
    console.print_notes(notes)
    print_original(store, Original(recorder.run_id, checkpoint, metrics), taken)
    for one in warnings:
        print(f"warning: {one}", file=sys.stderr)


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
