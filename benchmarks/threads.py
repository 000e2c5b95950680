"""What a second thread is worth, by network and size of images: the ground of ``mu.threads.SMALL``.

    python -m benchmarks.threads                  two threads against one, about 3 minutes
    python -m benchmarks.threads --threads 1 8    eight against one

An epoch of training (batches of 64 of 8x8 images, of 256 of larger ones) and a pass of evaluation,
with each number of threads in turn, in one process; ratios are taken round by round, and their
median is printed. Above 1: the second number is faster. Only an idle machine tells: where another
program has a core, a second thread waits for it. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mu.data.images import Images, Subset
from mu.evaluation.outputs import predict
from mu.models import ModelSpec
from mu.runs import Run
from mu.threads import SMALL, work_of
from mu.training import Training
from mu.training.loop import train

CASES = (
    ("resnet_mini", 8, 2048),
    ("resnet20", 8, 1024),
    ("resnet_mini", 28, 512),
    ("resnet18", 8, 256),
    ("resnet20", 32, 256),
    ("resnet18", 32, 64),
)


@dataclass(frozen=True)
class Case:
    """A network and random images: what they show costs nothing."""

    arch: str
    size: int
    samples: int

    def data(self) -> Subset:
        """The images."""
        draws = torch.Generator().manual_seed(0)
        shape = (self.samples, 1 if self.size < 32 else 3, self.size, self.size)
        labels = torch.randint(0, 10, (self.samples,), generator=draws)
        images = Images(torch.randint(0, 256, shape, generator=draws).byte(), labels)
        return Subset(images, np.arange(self.samples), (0.5,) * shape[1], (0.25,) * shape[1])


def main() -> None:
    """Time all cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs=2, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    few, many = options.threads
    print(f"| network | images | weights x pixels | default | training, {many} to {few} |"
          f" evaluation, {many} to {few} |\n|---|---:|---:|---|---:|---:|")  # fmt: skip
    for case in (Case(*one) for one in CASES):
        data = case.data()
        spec = ModelSpec.for_images(case.arch, "auto", 10, data.images.shape)
        model = spec.build(0)
        training = Training(epochs=1, batch_size=64 if case.size < 16 else 256)
        ways: list[Callable[[Run], object]] = [
            lambda run, m=model, d=data, t=training: train(m, d, t, run),  # type: ignore[misc]
            lambda run, m=model, d=data: predict(m, d, run),  # type: ignore[misc]
        ]
        work = work_of(model, data.images.shape)
        ratios = " | ".join(_ratio(way, options.threads, options.rounds) for way in ways)
        kind = "one thread" if work <= SMALL else "the cores"
        cells = [case.arch, f"{case.size}x{case.size}", f"{work / 1e6:.0f} million", kind, ratios]
        print(f"| {' | '.join(cells)} |", flush=True)


def _ratio(way: Callable[[Run], object], threads: Sequence[int], rounds: int) -> str:
    """Time with the first number of threads by that with the second: median, lowest, highest."""
    runs = [Run(device="cpu", threads=one, show_progress=False) for one in threads]
    found = []
    for _ in range(rounds + 1):
        seconds = []
        for run in runs:
            start = time.perf_counter()
            way(run)
            seconds.append(time.perf_counter() - start)
        found.append(seconds[0] / seconds[1])
    found = sorted(found[1:])  # the first round warms up
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


if __name__ == "__main__":
    main()
