"""The files of an export, made and checked, and what was measured of them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from mu.checkpoints import Checkpoint
from mu.cli.requests import ExportOptions
from mu.compact import BF16, FP32, INT8, OPSET
from mu.compact.files import Answers, save
from mu.compact.fold import folded
from mu.compact.latency import Latency, computing_with, latencies
from mu.compact.network import Compaction, compact
from mu.compact.precision import in_bf16
from mu.compact.sizes import sizes
from mu.compact.sparse import CSR, DENSE, choose, is_faster, kinds_of, with_sparse
from mu.compact.trace import traced
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.file_names import WEIGHTS_FILE
from mu.tasks.export_images import BATCH, accuracies, calibrating, compared

TOLERANCE = 1e-4  # of logits in fp32: another program's kernels round in another order
MEGABYTE = 1e6


@dataclass(frozen=True)
class Made:
    """The files, in a scratch folder, and what was measured of them.

    Attributes
    ----------
    latencies
        Of the run's network, and of the file.
    layers
        Which of the file's layers are dense and which sparse, with ``sparse_layers``.
    """

    metrics: dict[str, float]
    removed: dict[str, int]
    compact: bool
    images: int
    latencies: tuple[Latency, Latency]
    layers: dict[str, str]

    def latencies_ms(self) -> dict[str, dict[str, float]]:
        """Medians and quartiles, as a file has them."""
        return dict(zip(("run", "file"), (one._asdict() for one in self.latencies), strict=True))

    @property
    def sparse(self) -> int:
        """How many layers are sparse."""
        return list(self.layers.values()).count(CSR)


@dataclass(frozen=True)
class _File:
    """What was written, and what it answers."""

    path: Path
    answers: Answers
    network: nn.Module


def make(
    checkpoint: Checkpoint, dataset: ImageDataset, options: ExportOptions, folder: Path
) -> Made:
    """Write the files into ``folder``; UserError if they answer another thing than the network.

    In bf16 and int8 they do, so that the accuracy is measured instead.
    """
    model, spec = checkpoint.model.eval().requires_grad_(False), checkpoint.spec
    arch, example = spec.recipe.model.arch, spec.recipe.model.example()
    done = compact(model, example, arch) if options.compact else None
    network: nn.Module = folded(done.network) if done else model
    if done is None and options.format == "safetensors":
        network = traced(model, example, arch)
    batch = example[:1].repeat(options.batch_size, 1, 1, 1)
    calibration = calibrating(spec, dataset) if options.precision == INT8 else None
    with computing_with(options.threads):
        file = _written(network, example, folder, options, calibration)
        if options.sparse_layers:
            file = _sparse_if_faster(file, example, batch, options)
        times = latencies({"run": model, "file": file.answers}, batch, options.threads)
    images, ending = compared(dataset), "_compact" if done else "_exported"
    exact = options.precision == FP32
    return Made(
        {
            **_numbers(checkpoint, done, network, example),
            f"file_mb{ending}": file.path.stat().st_size / MEGABYTE,
            "latency_ms": times["run"].median,
            f"latency_ms{ending}": times["file"].median,
            "max_difference": _difference(model, file.answers, images, exact),
            **({} if exact else accuracies(model, file.answers, spec, dataset)),
        },
        done.removed if done else {},
        done is not None,
        len(images),
        (times["run"], times["file"]),
        kinds_of(file.network) if options.sparse_layers else {},
    )


def _written(
    network: nn.Module,
    example: Tensor,
    folder: Path,
    options: ExportOptions,
    calibration: Tensor | None = None,
) -> _File:
    if options.precision == BF16:
        assert isinstance(network, fx.GraphModule)
        network = in_bf16(network)
    opset = options.opset or OPSET
    return _File(*save(network, example, folder, options.format, opset, calibration), network)


def _sparse_if_faster(
    dense: _File, example: Tensor, batch: Tensor, options: ExportOptions
) -> _File:
    """The file with the sparse layers that pay, in the place of the other, if it is faster."""
    assert isinstance(dense.network, fx.GraphModule)
    layers = choose(dense.network, batch, options.threads)
    if not layers:
        return dense
    network, folder = with_sparse(dense.network, layers), dense.path.parent
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        sparse = _written(network, example, Path(scratch), options)
        both = {DENSE: dense.answers, CSR: sparse.answers}
        found = latencies(both, batch, options.threads)
        if not is_faster(found[CSR], found[DENSE]):
            return dense
        shutil.copytree(scratch, folder, dirs_exist_ok=True)
    return _File(folder / sparse.path.name, sparse.answers, network)


def _numbers(
    checkpoint: Checkpoint, done: Compaction | None, network: nn.Module, example: Tensor
) -> dict[str, float]:
    """How large the run's network is, and the compact one, where there is one."""
    with tempfile.TemporaryDirectory(prefix="mu-") as scratch:
        checkpoint.save(Path(scratch))
        found = {"file_mb": (Path(scratch) / WEIGHTS_FILE).stat().st_size / MEGABYTE}
    networks = {"": checkpoint.model} | ({"_compact": network} if done else {})
    for suffix, one in networks.items():
        found |= {f"{n}{suffix}": float(v) for n, v in sizes(one, example)._asdict().items()}
    if done:
        found |= dict(zip(("channels", "channels_compact"), map(float, done.channels), strict=True))
    return found


@torch.no_grad()
def _difference(model: nn.Module, answers: Answers, images: Tensor, exact: bool) -> float:
    """The largest between logits of the network and of the file.

    UserError if it is no rounding where the file is to be exact.
    """
    largest, scale = 0.0, 1.0
    for batch in [images[:1], *torch.split(images, BATCH)]:  # of one image alone, too
        wanted, found = model(batch), answers(batch)
        largest = max(largest, float((wanted - found).abs().max()))
        scale = max(scale, float(wanted.abs().max()))
    if exact and not largest <= TOLERANCE * scale:
        raise UserError(
            f"the file's logits differ from the network's by {largest:.1e}, so it is not kept; "
            "give another format"
        )
    return largest
