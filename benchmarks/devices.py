"""Training by many processes, against one, and against as many that do not speak to each other.

    python -m benchmarks.devices                             ResNet-20, two processes on the CPU
    python -m benchmarks.devices --arch resnet18 --batch-size 256 --devices 8 --device cuda

The same epoch at the same batch size, in turn, round by round; starting processes is not counted.
On a CPU one process has all cores, and each of several its part of them. The floor of several: each
does its part of every batch, and gradients are not averaged. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mu.data.batches import Batches
from mu.data.images import Images, Subset
from mu.devices import pick_device
from mu.distributed.launch import call
from mu.models import ModelSpec
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train
from mu.training.optimizers import make_optimizer


@dataclass(frozen=True)
class Work:
    """One epoch."""

    arch: str
    samples: int
    batch_size: int
    device: str

    def data(self) -> Subset:
        """Random images: what they show costs nothing."""
        draws = torch.Generator().manual_seed(0)
        shape = (self.samples, 3, 32, 32)
        labels = torch.randint(0, 10, (self.samples,), generator=draws)
        images = Images(torch.randint(0, 256, shape, generator=draws).byte(), labels)
        return Subset(images, np.arange(self.samples), (0.5,) * 3, (0.25,) * 3)

    def training(self) -> Training:
        """The settings of the loop."""
        return Training(epochs=1, batch_size=self.batch_size)


def main() -> None:
    """Time all ways in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    work = Work(options.arch, options.samples, options.batch_size, options.device)
    names = [
        *("one process", "floor of one"),
        *(f"{options.devices} processes", f"floor of {options.devices}"),
    ]
    taken = []
    for _ in range(options.rounds):
        # One process, too, is a process of its own: this one holds no memory or threads of it.
        taken.append([*call(timed, work, 1), *call(timed, work, options.devices)])
    rates = options.samples / np.array(taken)
    first = rates[:, :1]
    print(f"{options.arch}, batches of {options.batch_size}, {pick_device(options.device)}\n")
    print("| way | images a second | of one process |")
    print("|---" + "|---:" * 2 + "|")
    for number, name in enumerate(names):
        rate = statistics.median(rates[:, number])
        share = 100 * statistics.median(rates[:, number] / first[:, 0])
        print(f"| {name} | {rate:.0f} | {share:.0f} % |")


def timed(work: Work) -> tuple[float, float]:
    """Seconds of an epoch and of its floor, each done before once."""
    run = Run(device=work.device, show_progress=False)
    epoch(work, run), bare(work, run)
    return epoch(work, run), bare(work, run)


def epoch(work: Work, run: Run) -> float:
    """Seconds of one epoch of the loop."""
    model, data = ModelSpec(work.arch, 10, 3, "cifar").build(0), work.data()
    run.place(model)
    run.synchronize()
    start = time.perf_counter()
    train(model, data, work.training(), run)
    run.synchronize()
    return time.perf_counter() - start


def bare(work: Work, run: Run) -> float:
    """Seconds of the passes of each part of each batch, by itself."""
    model, data = ModelSpec(work.arch, 10, 3, "cifar").build(0), work.data()
    run.place(model).train()
    images, labels = next(Batches(data, work.batch_size, run.device, ranks=run.ranks).in_order())
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, work.training())
    run.synchronize()
    start = time.perf_counter()
    for _ in range(work.samples // work.batch_size):
        with run.autocast():
            value = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimizer.step()
    run.ranks.add_up(torch.zeros(1))  # all have come so far
    run.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
