"""How long a pass takes: masked, compact, with layers that stay sparse; in torch, in ONNX Runtime.

    python -m benchmarks.latency                                   twenty minutes on one core
    python -m benchmarks.latency --arch resnet20 --pruners omp --rates 0.95 --seconds 0.3

Fresh weights, 32x32 pixels in three channels. All forms of a network are timed in one process, in
turn, warm; median and quartiles, and how many times as fast as the masked network in torch. Which
layers are sparse is chosen for each batch size. The networks are as ``mu export`` with
format=safetensors hands them over. bf16 is all of a network in it; left out where the processor
has no instructions for it, and ONNX Runtime where it is not installed.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import tempfile
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.compaction import pruned
from mu.compact.files import PACKAGES, save
from mu.compact.fold import folded
from mu.compact.latency import Latency, computing_with, latencies
from mu.compact.network import compact
from mu.compact.sparse import choose, with_sparse
from mu.compact.trace import traced
from mu.processor import Processor

Way = Callable[[Tensor], Any]
CPU = torch.device("cpu")


def ways(arch: str, pruner: str, rate: float, images: Tensor, threads: int) -> dict[str, Way]:
    """The forms of a network; sparse layers are chosen for these images."""
    example = torch.randn(2, *images.shape[1:], generator=torch.Generator().manual_seed(0))
    model = pruned(arch, pruner, rate)
    small = folded(compact(model, example, arch).network)
    sparse = with_sparse(small, choose(small, images, threads))
    found: dict[str, Way] = {"masked": model, "compact": small, "compact, sparse": sparse}
    if Processor.of(CPU).bf16:
        found |= {"masked, bf16": _bf16(model), "compact, bf16": _bf16(small)}
    if all(importlib.util.find_spec(one) for one in PACKAGES):
        whole = traced(model, example, arch)
        found |= {
            "masked, ONNX Runtime": _onnx(whole, example),
            "compact, ONNX Runtime": _onnx(small, example),
        }
    return found


def _bf16(network: nn.Module) -> Way:
    other = copy.deepcopy(network).bfloat16()
    return lambda images: other(images.bfloat16()).float()


def _onnx(network: nn.Module, example: Tensor) -> Way:
    with tempfile.TemporaryDirectory() as scratch:
        return save(network, example, Path(scratch), "onnx")[1]


def measured(
    arch: str, pruner: str, rate: float, batch: int, options: argparse.Namespace
) -> dict[str, Latency]:
    """The latency of each form."""
    images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with computing_with(options.threads):  # ONNX Runtime takes the number when it loads a file
        networks = ways(arch, pruner, rate, images, options.threads)
    return latencies(networks, images, options.threads, options.seconds)


def _cell(one: Latency, masked: Latency) -> str:
    return f"{one.median:.2f} ({one.low:.2f} to {one.high:.2f}), {masked.median / one.median:.1f}x"


def _print_row(cells: Iterable[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", nargs="+", default=["resnet20", "resnet18"])
    parser.add_argument("--pruners", nargs="+", default=["omp", "channel"])
    parser.add_argument("--rates", nargs="+", type=float, default=[0.9, 0.95, 0.99])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each form of a network")
    options = parser.parse_args()
    print(f"{Processor.of(CPU)}; torch {torch.__version__}; threads: {options.threads}; ms, median "
          "(quartiles), and how many times as fast as the masked network\n")  # fmt: skip
    cases = product(options.arch, options.pruners, options.rates, options.batches)
    for number, (arch, pruner, rate, batch) in enumerate(cases):
        found = measured(arch, pruner, rate, batch, options)
        if not number:
            _print_row(["network", "pruner", "rate", "batch", *found])
            _print_row(["---"] * 2 + ["---:"] * (2 + len(found)))
        cells = [_cell(one, found["masked"]) for one in found.values()]
        _print_row([f"`{arch}`", f"`{pruner}`", f"{100 * rate:.0f} %", str(batch), *cells])


if __name__ == "__main__":
    main()
