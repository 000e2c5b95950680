"""Second-order methods: their time against the plain way and the floor, and their memory.

    python -m benchmarks.second_order                        ResNet-14, about 10 minutes
    python -m benchmarks.second_order --arch resnet18 --samples 16

Each work is done the plain way, by mu, and as bare passes (the floor), in turn, in one process, so
that a machine whose speed drifts treats them alike; ratios are taken round by round. Before that,
both ways must give the same. Last, the peak memory of influence unlearning, each in a process of
its own. ``python -m benchmarks.fisher_labels`` says what the faster estimates do to unlearning.

- Fisher, exact: the diagonal, expected over all classes. Plain: one image at a time, a backward
  pass for each class.
- Fisher, one pass: random signs, the default. Plain is the published way: batches of 32, a
  backward pass of the batch's mean loss for each class. (The square of a batch's mean gradient is
  another number; it is what others pay.)
- Fisher, one pass, on an eighth of the images, against the published way on all of them.
- IU: the whole step of influence unlearning: the difference v of the forget and the retain set's
  mean gradients, then F^-1 v, F of some of the retain set's gradients. Plain: a forward and a
  backward pass for each sample, and the same linear algebra. Given for F^-1 v alone, too, where
  the linear algebra, which is the same on both sides, weighs more.
- floor: forward passes, and as many backward passes by all weights, in batches of the same size.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from mu.data.batches import Batches
from mu.data.images import Images, Subset
from mu.data.torchvision_sets import CIFAR10_STATISTICS
from mu.fisher.diagonal import diagonal
from mu.fisher.free import FreeWeights
from mu.fisher.inverse import Samples, woodbury
from mu.fisher.mean import mean_gradient
from mu.masks import Mask
from mu.memory import peak_mb, reset_peak
from mu.models import ModelSpec
from mu.pruning import make_pruner
from mu.pruning.base import prunable
from mu.runs import Run

CLASSES = 10
PUBLISHED_BATCH = 32
DAMPING = 0.1
SPARSE = 0.95
FORGET_SHARE = 0.1
PER_FISHER_SAMPLE = 4  # training samples


@dataclass(frozen=True)
class Work:
    """The same work for every way."""

    arch: str
    samples: int
    size: int
    chunk_size: int
    device: str

    def run(self) -> Run:
        """Where it is done, in single precision."""
        return Run(device=self.device, precision="fp32", show_progress=False)

    def data(self, seed: int = 0) -> Subset:
        """Random images: what they show costs nothing."""
        draws = torch.Generator().manual_seed(seed)
        shape = (self.samples, 3, self.size, self.size)
        labels = torch.randint(0, CLASSES, (self.samples,), generator=draws)
        images = Images(torch.randint(0, 256, shape, generator=draws).byte(), labels)
        return Subset(images, np.arange(self.samples), *CIFAR10_STATISTICS)

    def training_set(self) -> tuple[Subset, Subset]:
        """Forget set and retain set of influence unlearning; F is of samples besides."""
        whole = replace(self, samples=PER_FISHER_SAMPLE * self.samples).data(seed=2)
        cut = round(FORGET_SHARE * len(whole))
        return tuple(replace(whole, indices=part) for part in np.split(whole.indices, [cut]))

    def model(self) -> nn.Module:
        """The network with its initial weights, in evaluation mode."""
        return ModelSpec(self.arch, CLASSES, 3, "cifar", self.size).build(0).eval()

    def sparse_model(self, rate: float) -> tuple[nn.Module, FreeWeights]:
        """The network on its device, pruned at random, and its free weights."""
        model = self.run().place(self.model())
        mask = Mask.dense(model, prunable(model, "body", "fc"))
        if rate:
            mask = make_pruner("random", {"rate": rate}).prune(model, mask, self.data(), self.run())
        mask.apply(model)
        return model, FreeWeights(model, mask)


def plain_fisher(work: Work, batch_size: int) -> Tensor:
    """For each class the squared gradient of a batch's mean loss, times its mean probability.

    The mean over the batches. Of single images it is the diagonal of the Fisher information.
    """
    run, model = work.run(), work.model().to(work.device)
    parameters = list(model.parameters())
    sums = [torch.zeros_like(one) for one in parameters]
    batches = Batches(work.data(), work.samples, run.device).in_order()
    images = torch.cat([images for images, _ in batches])
    parts = torch.split(images, batch_size)
    for part in parts:
        logits = model(part)
        likely = logits.detach().softmax(1).mean(0)
        for label in range(CLASSES):
            loss = F.cross_entropy(logits, torch.full((len(part),), label, device=run.device))
            found = torch.autograd.grad(loss, parameters, retain_graph=True)
            for total, gradient in zip(sums, found, strict=True):
                total += likely[label] * gradient**2
    return parameters_to_vector(sums) / len(parts)


def plain_step(work: Work, model: nn.Module, free: FreeWeights) -> Tensor:
    """The step of influence unlearning, a vector (free weights,), one sample at a time."""
    forget, retain = (
        gradients_one_by_one(part, model, free).mean(0) for part in work.training_set()
    )
    return plain_product(work, model, free, FORGET_SHARE * (forget - retain))


def plain_product(work: Work, model: nn.Module, free: FreeWeights, vector: Tensor) -> Tensor:
    """F^-1 v: a backward pass for each sample, then the identity of Woodbury."""
    rows = gradients_one_by_one(work.data(), model, free)
    exact, right, count = rows.double(), vector.double(), len(rows)
    inner = exact @ exact.T
    strength = DAMPING * float(inner.trace()) / count / free.size
    inner.diagonal().add_(count * strength)
    result: Tensor = (right - exact.T @ torch.linalg.solve(inner, exact @ right)) / strength
    return result.to(vector)


def gradients_one_by_one(data: Subset, model: nn.Module, free: FreeWeights) -> Tensor:
    """The gradients of the loss, (n_samples, free weights), a pass for each sample."""
    parameters, device = list(model.parameters()), free.now().device
    rows = torch.empty(len(data), free.size, device=device)
    for images, labels in Batches(data, len(data), device).in_order():
        for number in range(len(data)):
            loss = F.cross_entropy(model(images[number, None]), labels[number, None])
            rows[number] = free.vector(torch.autograd.grad(loss, parameters))
    return rows


def floor(work: Work, passes: int) -> None:
    """Forward passes of all images, and after each ``passes`` backward passes by all weights."""
    run = work.run()
    model = run.place(work.model())
    parameters = list(model.parameters())
    for images, labels in Batches(work.data(), work.chunk_size, run.device).in_order():
        logits = model(images.contiguous(memory_format=torch.channels_last))
        for _ in range(passes):
            loss = F.cross_entropy(logits, labels, reduction="sum")
            torch.autograd.grad(loss, parameters, retain_graph=True)


def fisher(work: Work, labels: str) -> Tensor:
    """The diagonal, by mu, as a vector."""
    data, model = work.data(), work.model()
    found = diagonal(model, data, work.run(), labels=labels, chunk_size=work.chunk_size)
    return parameters_to_vector(found)


def step(work: Work, model: nn.Module, free: FreeWeights) -> Tensor:
    """The step of influence unlearning, by mu."""
    forget, retain = (mean_gradient(model, free, part, work.run()) for part in work.training_set())
    return product(work, model, free, FORGET_SHARE * (forget - retain))


def product(work: Work, model: nn.Module, free: FreeWeights, vector: Tensor) -> Tensor:
    """F^-1 v, by mu."""
    samples = Samples(model, free, work.data(), work.run(), work.chunk_size)
    return woodbury(samples, vector, DAMPING)


@dataclass(frozen=True)
class Comparison:
    """One work in three ways, and how many times as long the plain way should take."""

    name: str
    plain: Callable[[], Tensor]
    fast: Callable[[], Tensor]
    floor: Callable[[], object]
    goal: float | None


def comparisons(work: Work, iu: Work) -> list[Comparison]:
    """All of them, once plain way and mu have given the same."""
    goal = 5.0 if work.device == "cuda" else 2.0
    few, eighth = replace(work, samples=8), replace(work, samples=max(2, work.samples // 8))
    same = difference(fisher(few, "exact"), plain_fisher(few, 1))
    print(f"- Fisher, exact: plain and mu differ by {same:.1g} of the diagonal's norm")
    found = [
        Comparison(
            name,
            partial(plain_fisher, work, batch_size),
            partial(fisher, mine, labels),
            partial(floor, mine, CLASSES if labels == "exact" else 1),
            aim,
        )
        for name, batch_size, mine, labels, aim in (
            ("Fisher, exact", 1, work, "exact", goal),
            ("Fisher, one pass", PUBLISHED_BATCH, work, "signs", 5.0),
            ("Fisher, one pass, on an eighth", PUBLISHED_BATCH, eighth, "signs", 20.0),
        )
    ]
    for rate in (0.0, SPARSE):
        found += of_influence(iu, rate, goal)
    return found


def of_influence(work: Work, rate: float, goal: float) -> list[Comparison]:
    """The whole step of influence unlearning, and the product with the inverse alone."""
    model, free = work.sparse_model(rate)
    kind = f"{100 * rate:.0f} % sparse" if rate else "dense"
    whole = replace(work, samples=work.samples * (1 + PER_FISHER_SAMPLE))
    vector = mean_gradient(model, free, work.data(seed=1), work.run())
    found = [
        Comparison(
            f"IU, {kind}",
            partial(plain_step, work, model, free),
            partial(step, work, model, free),
            partial(floor, whole, 1),
            goal,
        ),
        Comparison(
            f"its F^-1 v alone, {kind}",
            partial(plain_product, work, model, free, vector),
            partial(product, work, model, free, vector),
            partial(floor, work, 1),
            None,
        ),
    ]
    for one in found:
        same = difference(one.fast(), one.plain())
        print(f"- {one.name}: plain and mu differ by {same:.1g} of its norm")
    return found


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The norm of the difference, relative to that of ``theirs``."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def measure(comparison: Comparison, run: Run, rounds: int) -> None:
    """Run the three ways in turn, one round uncounted, and print a row."""
    ways = (comparison.plain, comparison.fast, comparison.floor)
    seconds: list[list[float]] = [[], [], []]
    for number in range(rounds + 1):
        for way, times in zip(ways, seconds, strict=True):
            with run.stopwatch() as taken:
                way()
            if number:
                times += taken
    plain, fast, _ = (statistics.median(times) for times in seconds)
    ratios = [one / other for one, other in zip(seconds[0], seconds[1], strict=True)]
    goal = "-" if comparison.goal is None else f"{comparison.goal:g}"
    shares = [100 * one / other for one, other in zip(seconds[2], seconds[1], strict=True)]
    print(
        f"| {comparison.name} | {plain:.3f} | {fast:.3f} | {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f}) | {goal} | "
        f"{statistics.median(shares):.0f} % ({min(shares):.0f} to {max(shares):.0f}) |",
        flush=True,
    )


def measure_memory(work: Work) -> None:
    """Print the peak memory of influence unlearning above the idle network."""
    print(f"\nIU of {work.samples} samples, {work.arch}, {work.chunk_size} together:\n")
    print("| network | free weights | all gradients, MiB | of which differentiation | peak, MiB |")
    print("|---|---:|---:|---:|---:|")
    peaks = []
    for rate in (0.0, SPARSE):
        (size, whole), (_, part) = (_apart(rate, work, only) for only in (False, True))
        matrix = work.samples * size * 4 / 2**20
        name = f"{100 * rate:.0f} % sparse" if rate else "dense"
        print(f"| {name} | {size:,} | {matrix:.0f} | {part:.0f} | {whole:.0f} |")
        peaks.append(whole)
    print(f"\n- dense takes {peaks[0] / peaks[1]:.1f} times the memory (goal 10)")


def _apart(rate: float, work: Work, only_gradients: bool) -> tuple[int, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, rate, work, only_gradients).result()


def _peak(rate: float, work: Work, only_gradients: bool) -> tuple[int, float]:
    """Free weights, and MiB above the network that has seen one image."""
    model, free = work.sparse_model(rate)
    run, data = work.run(), work.data()
    vector = free.now()
    mean_gradient(model, free, replace(data, indices=data.indices[:1]), run)
    samples = Samples(model, free, data, run, work.chunk_size)
    reset_peak(run.device)
    idle = peak_mb(run.device)
    if only_gradients:
        for _ in samples.chunks():
            pass
    else:
        woodbury(samples, vector, DAMPING)
    return free.size, peak_mb(run.device) - idle


def main() -> None:
    """Print the differences, a table of times and ratios, and one of memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet14")
    parser.add_argument("--samples", type=int, default=512, help="of the Fisher information")
    parser.add_argument("--iu-samples", type=int, default=256)
    parser.add_argument("--size", type=int, default=32, help="height and width of an image")
    parser.add_argument("--chunk-size", type=int, default=16, help="differentiated together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory-arch", default="resnet20")
    parser.add_argument("--memory-samples", type=int, default=1024, help="0: no memory")
    parser.add_argument("--memory-chunk-size", type=int, default=4)
    options = parser.parse_args()
    device = Run(device=options.device).device.type
    work = Work(options.arch, options.samples, options.size, options.chunk_size, device)
    print(
        f"{work.arch}, {work.size}x{work.size}, {work.samples} images, IU {options.iu_samples}, "
        f"{work.chunk_size} together, {options.rounds} rounds, {torch.get_num_threads()} threads, "
        f"{device}\n"
    )
    found = comparisons(work, replace(work, samples=options.iu_samples))
    print("\n| work | plain, s | mu, s | plain / mu, median (low to high) | goal | floor / mu |")
    print("|---|---:|---:|---:|---:|---:|")
    for comparison in found:
        measure(comparison, work.run(), options.rounds)
    if options.memory_samples:
        measure_memory(
            replace(
                work, arch=options.memory_arch, samples=options.memory_samples,
                chunk_size=options.memory_chunk_size,
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()
