"""Speed of the training loop: against the floor, the plain way, under a mask, and with SAM.

    python -m benchmarks.training                            ResNet-20, about 3 minutes
    python -m benchmarks.training --arch resnet18 --samples 256 --batch-size 128 --rounds 3
    python -m benchmarks.training --arch resnet18 --samples 25600 --workers 8    on a GPU
    python -m benchmarks.training --arch fastnet --profile fast --batch-size 1024

Images a second of several ways of the same work, in turn, in one process, so that a machine whose
speed drifts treats them alike; ratios are taken round by round. Then the peak memory of each way,
in a process of its own, and what it costs to keep the progress after an epoch.

- floor: forward, backward and step on one resident batch; no data, no metrics
- loop: ``mu.training.loop.train`` with the augmentation of the profile
- masked: the loop under a mask that prunes 95 %
- sam: the loop with sharpness-aware minimisation
- plain: a DataLoader over torchvision's CIFAR10 that crops and flips each image, and metrics
  fetched at every step
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import CIFAR10, VisionDataset
from torchvision.transforms import v2

from mu.data.images import Images, Subset
from mu.data.torchvision_sets import CIFAR10_STATISTICS
from mu.masks import Mask
from mu.models import ModelSpec
from mu.models.head import head_name
from mu.pruning import make_pruner
from mu.pruning.base import prunable
from mu.recipes.profile import DEFAULT_PROFILE, profile
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train
from mu.training.optimizers import make_optimizer, optimizer_state
from mu.training.progress import Progress, file_name, write_whole


@dataclass(frozen=True)
class Work:
    """The same work for every way."""

    arch: str
    samples: int
    batch_size: int
    workers: int
    device: str
    precision: str
    profile: str = DEFAULT_PROFILE

    def run(self) -> Run:
        """Where it is done, and in which precision; the plain way is always in fp32."""
        return Run(device=self.device, precision=self.precision, show_progress=False)

    @cache  # noqa: B019 - one for each process
    def images(self) -> Images:
        """Random images: what they show costs nothing."""
        draws = torch.Generator().manual_seed(0)
        shape = (self.samples, 3, 32, 32)
        labels = torch.randint(0, 10, (self.samples,), generator=draws)
        return Images(torch.randint(0, 256, shape, generator=draws).byte(), labels)

    def model(self) -> nn.Module:
        """The network with its initial weights."""
        return ModelSpec(self.arch, 10, 3, "cifar").build(0)

    def dense(self, model: nn.Module) -> Mask:
        """The mask that keeps all."""
        head = head_name(model, ModelSpec(self.arch, 10, 3, "cifar"))
        return Mask.dense(model, prunable(model, "body", head))

    def training(self, sam_rho: float = 0.0) -> Training:
        """The settings of one epoch."""
        given = {"epochs": 1, "batch_size": self.batch_size, "sam_rho": sam_rho}
        return Training(**{**profile(self.profile).training, **given})


class InMemory(CIFAR10):
    """Torchvision's CIFAR10 as it is once its files are read."""

    def __init__(self, images: Images) -> None:
        steps = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor()]
        steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(*CIFAR10_STATISTICS)]
        VisionDataset.__init__(self, root="", transform=v2.Compose(steps))
        self.data = images.pixels.permute(0, 2, 3, 1).numpy()
        self.targets = images.labels.tolist()


def floor(work: Work) -> float:
    """Seconds for as many steps as an epoch has, on one resident batch."""
    run, images, training = work.run(), work.images(), work.training()
    model = run.place(work.model()).train()
    size = min(work.batch_size, len(images))
    batch = images.pixels[:size].to(run.device).float().div_(255)
    batch = batch.contiguous(memory_format=torch.channels_last)
    labels = images.labels[:size].to(run.device)
    optimizer = make_optimizer(model, training)
    with run.stopwatch() as seconds:
        for _ in range(len(images) // size):
            with run.autocast():
                value = F.cross_entropy(model(batch), labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            optimizer.step()
    return seconds[0]


def loop(work: Work, *, pruned: bool = False, sam_rho: float = 0.0) -> float:
    """Seconds of one epoch of the loop."""
    run, images = work.run(), work.images()
    model = work.model()
    data = Subset(images, np.arange(len(images)), *CIFAR10_STATISTICS)
    mask = work.dense(model)
    if pruned:
        mask = make_pruner("omp").prune(model, mask, data, run)
    with run.stopwatch() as seconds:
        train(model, data, work.training(sam_rho), run, mask=mask)
    return seconds[0]


def plain(work: Work) -> float:
    """Seconds of one epoch the plain way."""
    run, training = work.run(), work.training()
    model = work.model().to(run.device).train()
    optimizer = make_optimizer(model, training)
    data = InMemory(work.images())
    batches = DataLoader(data, work.batch_size, shuffle=True, num_workers=work.workers)
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


WAYS: dict[str, Callable[[Work], float]] = {
    "floor": floor,
    "loop": loop,
    "masked": partial(loop, pruned=True),
    "sam": partial(loop, sam_rho=0.05),
    "plain": plain,
}


def measure(work: Work, rounds: int) -> None:
    """Run all ways in turn, one round uncounted, and print a table and the goals."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, way in WAYS.items():
            taken = way(work)
            print(f"round {number} {name} {taken:.2f} s", file=sys.stderr)
            if number:
                seconds[name].append(taken)
    memory = peak_memory(work)
    run = work.run()
    kind = f"{hardware(run.device)}, {'bf16' if run.bf16 else 'fp32'}"
    print(f"{work.arch}, batch {work.batch_size}, {work.samples} images, {rounds} rounds, "
          f"{torch.get_num_threads()} threads, {kind}, torch {torch.__version__}")  # fmt: skip
    print("| way | images/s | share of the floor, median (lowest to highest) | peak memory, MiB |")
    print("|---|---:|---:|---:|")
    for name, times in seconds.items():
        shares = [100 * share for share in ratios(seconds["floor"], times)]
        print(
            f"| {name} | {work.samples / statistics.median(times):.0f} | "
            f"{statistics.median(shares):.1f} % ({min(shares):.1f} to {max(shares):.1f}) | "
            f"{memory[name]:.0f} |"
        )
    for name, other, text in (
        ("masked", "loop", "a step under a mask costs {:.3f} of a step without (goal 1.03)"),
        ("sam", "loop", "a step of SAM costs {:.2f} plain steps (goal 2.1)"),
        ("plain", "loop", "the plain way takes {:.2f} times as long as the loop"),
    ):
        print("- " + text.format(statistics.median(ratios(seconds[name], seconds[other]))))


def hardware(device: torch.device) -> str:
    """What kind of device it is."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(over, under, strict=True)]


def peak_memory(work: Work) -> dict[str, float]:
    """MiB, by way: of the device on CUDA, else of a process of its own."""
    if work.run().device.type == "cuda":
        return {name: _peak(name, work) for name in WAYS}
    found = {}
    for name in WAYS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found[name] = pool.submit(_peak, name, work).result()
    return found


def _peak(name: str, work: Work) -> float:
    WAYS[name](work)
    return work.run().peak_memory_mb()


def measure_keeping(work: Work, rounds: int) -> None:
    """Print what it costs to keep the progress of a training after an epoch."""
    model, training = work.model(), work.training()
    optimizer = make_optimizer(model, training)
    F.cross_entropy(model(torch.zeros(2, 3, 32, 32)), torch.zeros(2).long()).backward()
    optimizer.step()
    progress = Progress(
        round=1,
        epoch=1,
        weights=model.state_dict(),
        optimizer=optimizer_state(optimizer, model),
        rewind={name: value.clone() for name, value in model.state_dict().items()},
        mask=work.dense(model),
    )
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            start = time.perf_counter()
            content = progress.to_bytes({})
            write_whole(Path(folder) / file_name(progress, content), content)
            times.append(time.perf_counter() - start)
        size = max(one.stat().st_size for one in Path(folder).iterdir()) / 2**20
    print(f"- keeping the progress: {statistics.median(times):.3f} s an epoch, {size:.1f} MiB")


def main() -> None:
    """Print images a second of every way, the ratios, and the peak memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0, help="of the plain way's DataLoader")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="of all but the plain way")
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help="whose settings are used")
    options = parser.parse_args()
    work = Work(
        options.arch, options.samples, options.batch_size, options.workers,
        options.device, options.precision, options.profile,
    )  # fmt: skip
    measure(work, options.rounds)
    measure_keeping(work, options.rounds)


if __name__ == "__main__":
    main()
