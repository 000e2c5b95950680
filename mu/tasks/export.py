"""The entry export: the network of a run as files that load without mu."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import ExportOptions, Request
from mu.cli.run_ids import in_full
from mu.compact import FP32
from mu.compact.files import check_packages
from mu.compact.sparse import CSR
from mu.errors import UserError
from mu.processor import Processor
from mu.report import console
from mu.report.model_card import Exported, Forgotten, model_card
from mu.report.run_names import run_name
from mu.rounding import rounded
from mu.run_record import RunRecord
from mu.tasks.base import run_task
from mu.tasks.export_files import Made, make
from mu.tasks.outputs import check_out, keep_results, write_json
from mu.tasks.resolve import data_of
from mu.tracking import (
    Recorder,
    Store,
    browse,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
    log_to,
    read_run,
)
from mu.tracking.artifacts import UNLEARNED

FOLDER = "export"  # of the run's artifacts
DIFFERENCE = "max_difference"  # says how exact the file is, and nothing of the network


def export(request: Request, run: str | None = None) -> str:
    """Export the network of a run; gives the ID of the export's own run.

    All is made and checked before a run is opened. ``run``: what ``mu export`` was given.
    """
    options = ExportOptions.of(request.entry)
    if (run is None) == (options.run_id is None):
        raise UserError("give one run that holds a network: run_id=ID, or mu export ID")
    check_out(options.out)
    check_packages(options.format)
    store = connect()
    run_id = options.run_id or in_full(str(run))
    source = _source(store, run_id)
    checkpoint = fetch_checkpoint(store, run_id, transferred=True)
    dataset = data_of(checkpoint.spec, {"data_dir": options.data_dir})
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        folder = Path(scratch) / FOLDER  # with the rights of any folder, unlike the scratch one
        folder.mkdir()
        made = make(checkpoint, dataset, options, folder)
        card = model_card(_exported(source, checkpoint, made, options))
        (folder / "README.md").write_text(card, encoding="utf-8")

        def work(recorder: Recorder) -> None:
            recorder.params({**options.as_dict(), "run_id": run_id})
            data = fingerprint_tag(checkpoint.spec.data.fingerprint)
            recorder.tags({tags.UPSTREAM: run_id, tags.DATA: data})
            recorder.metrics(made.metrics)
            config = {**options.as_dict(), "run_id": run_id, "removed": made.removed}
            config |= {"layers": made.layers, "latencies_ms": made.latencies_ms()}
            write_json(recorder.folder / "config.json", config)
            keep_results(recorder, {n: rounded(v) for n, v in made.metrics.items()}, card)
            shutil.copytree(folder, recorder.folder / FOLDER)
            if options.out is not None:
                shutil.copytree(folder, Path(options.out).expanduser(), dirs_exist_ok=True)

        title = run_name("export", options.format, source.name)
        own_id, _ = run_task(store, "export", title, work)
    if options.precision == FP32:  # the network's other numbers, as its gap, are the file's, too
        told = {name: value for name, value in made.metrics.items() if name != DIFFERENCE}
        log_to(store, run_id, told, own_id)  # where `compare` looks
    _print(store, own_id, options, made)
    return own_id


def _source(store: Store, run_id: str) -> RunRecord:
    """The run that holds the network; UserError if an erasure retired it."""
    source = read_run(store, run_id)
    if erasure := source.tags.get(tags.RETIRED):
        raise UserError(
            f"run {run_id} is retired: it holds records that erasure {erasure} removed; export a "
            "network that was made without them"
        )
    return source


# --- what is said of it -------------------------------------------------------------------


def _exported(
    source: RunRecord, checkpoint: Checkpoint, made: Made, options: ExportOptions
) -> Exported:
    lineage: list[tuple[str, str]] = []
    forgotten: list[Forgotten] = []
    found: RunRecord | None = source
    while found is not None and found.run_id not in {one for _, one in lineage}:
        lineage.append((found.entry, found.run_id))
        if found.entry in UNLEARNED:
            count = len(found.forget_indices)
            forgotten.append(Forgotten(found.method, found.forget_request, count, found.run_id))
        found = found.upstream
    return Exported(
        checkpoint.spec,
        checkpoint.mask.sparsity,
        source,
        tuple(reversed(lineage)),
        tuple(reversed(forgotten)),
        made.metrics,
        options.format,
        options.precision,
        made.images,
        _timing(made, options),
    )


def _timing(made: Made, options: ExportOptions) -> str:
    """How the latency was measured, and which layers are sparse."""
    here = Processor.of(torch.device("cpu"))
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    spread = " and ".join(f"{one.low:.2f} to {one.high:.2f}" for one in made.latencies)
    said = (
        f"Latency: median of passes of {options.batch_size} image(s), warm, the two networks in "
        f"turn, with {threads} of {here}, torch {torch.__version__}; quartiles {spread} ms."
    )
    sparse = [f"`{name}`" for name, kind in made.layers.items() if kind == CSR]
    return said + (f" Layers that stay sparse: {', '.join(sparse)}." if sparse else "")


def _print(store: Store, run_id: str, options: ExportOptions, made: Made) -> None:
    numbers, lines = made.metrics, {}
    if made.compact:
        names = {"channels": "channels", "params": "weights", "macs": "multiplications"}
        for name, words in names.items():
            lines[words] = f"{numbers[name]:,.0f} -> {numbers[f'{name}_compact']:,.0f}"
    if made.compact and not made.removed:
        lines["removed"] = "nothing: every channel still has weights that read it and that make it"
    if options.sparse_layers:
        lines["sparse"] = _of_layers(made)
    size = numbers["file_mb_compact" if made.compact else "file_mb_exported"]
    lines["file"] = f"{size:.3f} MB; the run's weights are {numbers['file_mb']:.3f} MB"
    before, after = made.latencies
    lines["latency"] = f"{after}; the run's network {before}"
    lines["difference"] = (
        f"{numbers[DIFFERENCE]:.1e}, the largest between logits on {made.images} test images"
    )
    if options.precision != FP32:
        lines["TA"] = (
            f"{numbers['TA_exported']:.2f} % of the file in {options.precision}, "
            f"{numbers['TA_fp32']:.2f} % of the run's network, on the same test images"
        )
    if options.out:
        lines["folder"] = options.out
    any_: dict[str, Any] = {**lines, "run": run_id, "browse": browse(store, run_id=run_id)}
    console.print_summary(f"exported as {options.format}", any_)


def _of_layers(made: Made) -> str:
    if made.sparse:
        return f"{made.sparse} of {len(made.layers)} layers are kept so"
    return "no layer is: here the file is not faster so by a tenth"
