"""The command mu import: a checkpoint that another program trained, as a finished prune run."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from mu import tags
from mu.cli.requests import DeviceOptions, ImportOptions, Request
from mu.evaluation.unlearning import evaluate_original
from mu.foreign.assumptions import Assumption
from mu.foreign.files import read_weight_file
from mu.foreign.originals import import_original
from mu.report import console, prose
from mu.report.run_names import name_original, run_name
from mu.tasks.base import checked_device, device_in_force, make_run, record_rounding, run_task
from mu.tasks.outputs import save_network, write_json
from mu.tasks.problem import TrackedModel
from mu.tasks.prune import print_original
from mu.tasks.resolve import load_requested
from mu.tracking import Recorder, connect


def import_checkpoint(request: Request, file: str) -> TrackedModel:
    """Read and check the file, open a run, evaluate the network, and keep it as an original."""
    options = ImportOptions.of(request.entry)
    more: dict[str, Any] = {**options.as_dict(), **options.normalisation()}
    register = more.pop("register")
    device = checked_device(DeviceOptions.of(request.device))
    weights = read_weight_file(file)
    published, settings = load_requested(request.original)
    imported = import_original(weights, published, **settings, **more)
    checkpoint = imported.checkpoint
    recipe, data_dir = checkpoint.spec.recipe, published.data_dir
    dataset = checkpoint.spec.data.bind(published)
    store = connect()

    def work(recorder: Recorder) -> tuple[TrackedModel, list[str]]:
        params = {**checkpoint.spec.settings(), "data_dir": data_dir}
        recorder.params(params)
        run = make_run(device, recorder, recipe.seed)
        metrics = evaluate_original(checkpoint, dataset, run)
        record_rounding(recorder, run)
        run.log_all(metrics, 0)
        warnings = imported.warnings(published, metrics["train_acc"], run, again(request, file))
        text = prose.describe_import(imported, metrics, warnings, recorder.run_id)
        digest = imported.file.digest
        save_network(recorder, checkpoint, metrics, text, {tags.IMPORTED: digest[:16]})
        assumed = {one.name: one.source for one in imported.assumptions}
        source = {**imported.taken, "sha256": digest, "assumptions": assumed}
        config = {**params, **device_in_force(device, run), "imported": source}
        write_json(recorder.folder / "config.json", config)
        return TrackedModel(recorder.run_id, checkpoint, metrics), warnings

    name = run_name("import", name_original(checkpoint.spec, checkpoint.mask.sparsity))
    _, (original, warnings) = run_task(store, "prune", name, work, register=register)
    console.print_notes(imported.notes)
    title = "recipe that Retrain repeats; give what differs"
    console.print_texts(title, Assumption._fields, imported.assumptions, "lll", plain=True)
    print_original(store, original, imported.taken)
    for one in warnings:
        print(f"warning: {one}", file=sys.stderr)
    return original


def again(request: Request, file: str) -> str:
    """The command that imports the file again, without mean and std."""
    given = {**request.original, **request.entry, **request.device}
    options = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in given.items()
        if name not in ("mean", "std")
    ]
    return shlex.join(["mu", "import", file, *options])
