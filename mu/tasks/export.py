"""The entry export: the network of a run as files that load without mu."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import ExportOptions, Request
from mu.cli.run_ids import in_full
from mu.compact import OPSET
from mu.compact.files import Answers, check_packages, save
from mu.compact.network import Compaction, compact
from mu.compact.sizes import sizes
from mu.compact.trace import traced
from mu.data.batches import Batches
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.file_names import WEIGHTS_FILE
from mu.report import console
from mu.report.model_card import Exported, Forgotten, model_card
from mu.report.run_names import run_name
from mu.rounding import rounded
from mu.run_record import RunRecord
from mu.tasks.base import run_task
from mu.tasks.outputs import check_out, keep_results, write_json
from mu.tasks.resolve import data_of
from mu.tracking import (
    Recorder,
    Store,
    browse,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
    read_run,
)
from mu.tracking.artifacts import UNLEARNED

FOLDER = "export"  # of the run's artifacts
IMAGES, BATCH = 256, 64  # test images whose logits are compared
TOLERANCE = 1e-4  # of these: another program's kernels round in another order
MEGABYTE = 1e6


@dataclass(frozen=True)
class _Made:
    """The files, in a scratch folder, and what was measured of them."""

    metrics: dict[str, float]
    removed: dict[str, int]
    compact: bool
    images: int


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
        made = _make(checkpoint, dataset, options, folder)
        card = model_card(_exported(source, checkpoint, made, options))
        (folder / "README.md").write_text(card, encoding="utf-8")

        def work(recorder: Recorder) -> None:
            recorder.params({**options.as_dict(), "run_id": run_id})
            data = fingerprint_tag(checkpoint.spec.data.fingerprint)
            recorder.tags({tags.UPSTREAM: run_id, tags.DATA: data})
            recorder.metrics(made.metrics)
            config = {**options.as_dict(), "run_id": run_id, "removed": made.removed}
            write_json(recorder.folder / "config.json", config)
            keep_results(recorder, {n: rounded(v) for n, v in made.metrics.items()}, card)
            shutil.copytree(folder, recorder.folder / FOLDER)
            if options.out is not None:
                shutil.copytree(folder, Path(options.out).expanduser(), dirs_exist_ok=True)

        title = run_name("export", options.format, source.name)
        own_id, _ = run_task(store, "export", title, work)
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


# --- the files ----------------------------------------------------------------------------


def _make(
    checkpoint: Checkpoint, dataset: ImageDataset, options: ExportOptions, folder: Path
) -> _Made:
    model, spec = checkpoint.model.eval().requires_grad_(False), checkpoint.spec
    arch, example = spec.recipe.model.arch, spec.recipe.model.example()
    done = compact(model, example, arch) if options.compact else None
    network: nn.Module = done.network if done else model
    if done is None and options.format == "safetensors":
        network = traced(model, example, arch)
    file, answers = save(network, example, folder, options.format, options.opset or OPSET)
    images = _images(dataset)
    return _Made(
        {
            **_numbers(checkpoint, done, example),
            "file_mb_compact" if done else "file_mb_exported": file.stat().st_size / MEGABYTE,
            "max_difference": _difference(model, answers, images),
        },
        done.removed if done else {},
        done is not None,
        len(images),
    )


def _numbers(checkpoint: Checkpoint, done: Compaction | None, example: Tensor) -> dict[str, float]:
    """How large the network is, and the compact one, where there is one."""
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        checkpoint.save(Path(scratch))
        found = {"file_mb": (Path(scratch) / WEIGHTS_FILE).stat().st_size / MEGABYTE}
    networks = {"": checkpoint.model} | ({"_compact": done.network} if done else {})
    for suffix, network in networks.items():
        found |= {f"{n}{suffix}": float(v) for n, v in sizes(network, example)._asdict().items()}
    if done:
        found |= dict(zip(("channels", "channels_compact"), map(float, done.channels), strict=True))
    return found


def _images(dataset: ImageDataset) -> Tensor:
    """The first test images, as the network takes them."""
    subset = dataset.test_subset()
    chosen = subset.part(0, min(IMAGES, len(subset)))
    batches = Batches(chosen, BATCH, torch.device("cpu"))
    return torch.cat([images for images, _ in batches.in_order()])


@torch.no_grad()
def _difference(model: nn.Module, answers: Answers, images: Tensor) -> float:
    """The largest between logits of the network and of the file; UserError if it is no rounding."""
    largest, scale = 0.0, 1.0
    for batch in [images[:1], *torch.split(images, BATCH)]:  # of one image alone, too
        wanted, found = model(batch), answers(batch)
        largest = max(largest, float((wanted - found).abs().max()))
        scale = max(scale, float(wanted.abs().max()))
    if not largest <= TOLERANCE * scale:
        raise UserError(
            f"the file's logits differ from the network's by {largest:.1e}, so it is not kept; "
            "give another format"
        )
    return largest


# --- what is said of it -------------------------------------------------------------------


def _exported(
    source: RunRecord, checkpoint: Checkpoint, made: _Made, options: ExportOptions
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
        made.images,
    )


def _print(store: Store, run_id: str, options: ExportOptions, made: _Made) -> None:
    numbers, lines = made.metrics, {}
    if made.compact:
        names = {"channels": "channels", "params": "weights", "macs": "multiplications"}
        for name, words in names.items():
            lines[words] = f"{numbers[name]:,.0f} -> {numbers[f'{name}_compact']:,.0f}"
    if made.compact and not made.removed:
        lines["removed"] = "nothing: every channel still has weights that read it and that make it"
    size = numbers["file_mb_compact" if made.compact else "file_mb_exported"]
    lines["file"] = f"{size:.3f} MB; the run's weights are {numbers['file_mb']:.3f} MB"
    lines["difference"] = (
        f"{numbers['max_difference']:.1e}, the largest between logits on {made.images} test images"
    )
    if options.out:
        lines["folder"] = options.out
    any_: dict[str, Any] = {**lines, "run": run_id, "browse": browse(store, run_id=run_id)}
    console.print_summary(f"exported as {options.format}", any_)
