"""How a sweep uses cores best: a training on each with one thread, or one training on all.

    python -m benchmarks.sweeps                                   ResNet-20, about 3 minutes
    python -m benchmarks.sweeps --arch resnet18 --samples 128 --batch-size 64 --rounds 3

Images a second in all of the training loop, in as many processes as cores with one thread each and
in one process with as many threads, in turn, in the same processes; ratios are taken round by
round. Also images for each second of processor time, which other programs disturb less, and the
peak memory of a process. The ground of the default of ``jobs`` in sweeps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.training import Work
from mu import memory
from mu.data.images import Subset
from mu.data.torchvision_sets import CIFAR10_STATISTICS
from mu.distributed.place import usable_cores
from mu.processor import Processor
from mu.runs import Run
from mu.training.loop import train

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Share:
    """What a process does: an epoch of the work, with so many threads."""

    work: Work
    threads: int

    def done(self) -> tuple[float, float]:
        """Seconds of processor time, and peak memory in MiB, once it is done."""
        run = Run(device="cpu", precision="fp32", threads=self.threads, show_progress=False)
        images = self.work.images()
        data = Subset(images, np.arange(len(images)), *CIFAR10_STATISTICS)
        start = time.process_time()
        train(self.work.model(), data, self.work.training(), run)
        return time.process_time() - start, memory.peak_mb(CPU)


class Measured(NamedTuple):
    """Of all processes: images a second, and one of processor time; the highest peak, MiB."""

    rate: float
    cpu_rate: float
    peak: float


def measured(pools: list[ProcessPoolExecutor], share: Share) -> Measured:
    """What the share takes in each of the processes at once."""
    start, images = time.perf_counter(), len(pools) * share.work.samples
    done = [one.result() for one in [pool.submit(share.done) for pool in pools]]
    seconds = time.perf_counter() - start
    cpu, peaks = zip(*done, strict=True)
    return Measured(images / seconds, images / sum(cpu), max(peaks))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cores = usable_cores()
    work = Work(options.arch, options.samples, options.batch_size, 0, "cpu", "fp32")
    pools = [ProcessPoolExecutor(1, mp_context=get_context("spawn")) for _ in range(cores)]
    # Processes, and threads of each.
    ways = {f"{cores} processes, a thread each": (pools, 1)}
    ways[f"one process, {cores} threads"] = (pools[:1], cores)
    ways["one process, one thread"] = (pools[:1], 1)
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, (used, threads) in ways.items():
            one = measured(used, Share(work, threads))
            found[name] += [one] if number else []  # the first round warms up
    for pool in pools:
        pool.shutdown()
    print(f"{Processor.of(CPU)}, {cores} cores, torch {torch.__version__}; {work.arch}, batch "
          f"{work.batch_size}, {work.samples} images, {options.rounds} rounds\n")  # fmt: skip
    print("| way | images/s in all | of one process on all cores, median (lowest to highest) | "
          "images a CPU second | peak memory of a process, MiB |")  # fmt: skip
    print("|---|---:|---:|---:|---:|")
    whole = found[f"one process, {cores} threads"]
    for name, each in found.items():
        shares = [100 * one.rate / other.rate for one, other in zip(each, whole, strict=True)]
        rate, cpu_rate = (statistics.median(one) for one in list(zip(*each, strict=True))[:2])
        peak = max(one.peak for one in each)
        print(f"| {name} | {rate:.0f} | {statistics.median(shares):.0f} % ({min(shares):.0f} to "
              f"{max(shares):.0f}) | {cpu_rate:.0f} | {peak:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
