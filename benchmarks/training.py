"""Speed of the training loop: against the floor, the plain way, and under a mask.

    python -m benchmarks.training                            ResNet-20, about 3 minutes
    python -m benchmarks.training --arch resnet18 --samples 256 --batch-size 128

Images a second of four ways of the same work, in turn, in one process, so that a machine whose
speed drifts treats them alike; ratios are taken round by round.

- floor: forward, backward and step on one resident batch; no data, no metrics
- loop: ``mu.training.train`` with crops and flips
- masked: the loop under a mask that prunes 95 %
- plain: a DataLoader over a data set that crops and flips each image with torchvision's
  transforms, and metrics fetched at every step
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from mu.data.cifar10 import MEAN, STD
from mu.data.images import Images, Subset
from mu.masks import Mask
from mu.models import ModelSpec
from mu.pruning import make_pruner
from mu.pruning.base import prunable
from mu.runs import Run
from mu.training import Training, train


class PlainDataset(Dataset[tuple[Tensor, int]]):
    """One image at a time, as a torchvision data set gives it."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self._transform(self._images.pixels[index])
        return image, int(self._images.labels[index])


def main() -> None:
    """Print images a second of every way and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    draws = torch.Generator().manual_seed(0)
    shape = (options.samples, 3, 32, 32)
    images = Images(
        torch.randint(0, 256, shape, generator=draws).byte(),
        torch.randint(0, 10, (options.samples,), generator=draws),
    )
    spec = ModelSpec(options.arch, 10, 3, "cifar")
    training = Training(epochs=1, batch_size=options.batch_size)
    ways = {
        "floor": lambda: floor(spec, images, training),
        "loop": lambda: loop(spec, images, training, pruned=False),
        "masked": lambda: loop(spec, images, training, pruned=True),
        "plain": lambda: plain(spec, images, training),
    }
    measure(ways, options.samples, options.rounds)


def measure(ways: dict[str, Callable[[], float]], samples: int, rounds: int) -> None:
    """Run all ways in turn, one round uncounted, and print a table."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            taken = way()
            if number:
                seconds[name].append(taken)
    print("| way | images/s | share of the floor, median (lowest to highest) |")
    print("|---|---:|---:|")
    for name, times in seconds.items():
        shares = [100 * a / b for a, b in zip(seconds["floor"], times, strict=True)]
        print(
            f"| {name} | {samples / statistics.median(times):.0f} | "
            f"{statistics.median(shares):.1f} % ({min(shares):.1f} to {max(shares):.1f}) |"
        )


def floor(spec: ModelSpec, images: Images, training: Training) -> float:
    """Seconds for as many steps as an epoch has, on one resident batch."""
    run = Run()
    model = run.place(spec.build(0)).train()
    size = min(training.batch_size, len(images))
    batch = images.pixels[:size].to(run.device).float().div_(255)
    labels = images.labels[:size].to(run.device)
    optimizer = sgd(model, training)
    with run.stopwatch() as seconds:
        for _ in range(len(images) // size):
            with run.autocast():
                value = F.cross_entropy(model(batch), labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            optimizer.step()
    return seconds[0]


def loop(spec: ModelSpec, images: Images, training: Training, *, pruned: bool) -> float:
    """Seconds of one epoch of the loop."""
    run = Run(show_progress=False)
    model = spec.build(0)
    data = Subset(images, np.arange(len(images)), MEAN, STD)
    mask = Mask.dense(model, prunable(model))
    if pruned:
        mask = make_pruner("omp").prune(model, mask, data, run)
    with run.stopwatch() as seconds:
        train(model, data, training, run, mask=mask)
    return seconds[0]


def plain(spec: ModelSpec, images: Images, training: Training) -> float:
    """Seconds of one epoch the plain way, in this process."""
    run = Run()
    model = spec.build(0).to(run.device).train()
    optimizer = sgd(model, training)
    batches = DataLoader(PlainDataset(images), batch_size=training.batch_size, shuffle=True)
    start = time.perf_counter()
    total = right = 0.0
    for batch, labels in batches:
        batch, labels = batch.to(run.device), labels.to(run.device)
        logits = model(batch)
        value = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        total += value.item()
        right += (logits.argmax(1) == labels).sum().item()
    run.synchronize()
    return time.perf_counter() - start


def sgd(model: nn.Module, training: Training) -> torch.optim.SGD:
    """The optimiser that all ways share."""
    return torch.optim.SGD(
        model.parameters(),
        lr=training.lr,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
    )


if __name__ == "__main__":
    main()
