"""Speed of every unlearning method, against the bare passes that its algorithm needs.

    python -m benchmarks.methods                                 ResNet-20 at 32x32, 15 minutes
    python -m benchmarks.methods --arch resnet18 --samples 25600 --batch-size 256    on a GPU

Each method forgets a class, with a given scale, so that nothing is spent on how far to go. Its
passes through a network are counted on the way: batches that weights are trained by, those that the
images' gradient is wanted of, those that are only predicted, and steps of the optimiser. The floor
is the same batches on resident images: forward, backward, step; no data, no mask, no metrics. The
counts are in the table, so that a pass that an algorithm does not need can be seen. Methods that
work in one go by gradients of single samples are given against one pass of training over the
samples that they see.

Method and floor are timed in turn, in one process, so that a machine whose speed drifts treats them
alike; the ratio is the median over the rounds, with the lowest and the highest. Prints Markdown.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

import mu
from mu.data.images import Images
from mu.data.torchvision_sets import CIFAR10_STATISTICS
from mu.methods import make_method, method_class, unlearning_methods
from mu.methods.stopping import Stopping
from mu.training.optimizers import make_optimizer

# Of batches, by what is done with them, their size, and the weights that have gradients; and steps.
Counts = Counter[tuple[str, int, frozenset[str]]]
ALL: frozenset[str] = frozenset()  # in the place of the names of all weights
SCALE = 1e-3  # of every method: it has no part in the time


class Work:
    """The same work for all methods: a sparse network and random images."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device, draws = options.device, torch.Generator().manual_seed(0)

        def images(count: int) -> Images:
            pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=draws).byte()
            return Images(pixels, torch.arange(count) % 10)

        classes = tuple("0123456789")
        parts = images(options.samples), images(options.samples // 10)
        data = mu.ImageDataset("cifar10", *parts, classes, *CIFAR10_STATISTICS)
        recipe = mu.make_recipe(
            data, arch=options.arch, rate=options.rate, epochs=1, batch_size=options.batch_size
        )
        self.original = mu.train_original(data, recipe, self.run())
        self.split = mu.forget_split(self.original, data, "class:0")

    def run(self) -> mu.Run:
        """Where it is done."""
        return mu.Run(device=self.device, show_progress=False)

    def unlearn(self, name: str) -> tuple[float, int]:
        """The seconds that a method takes with a given scale, and the samples that it sees."""
        kind, run = method_class(name), self.run()
        given: dict[str, Any] = {"epochs": 2} if "epochs" in kind.names() else {}
        if issubclass(kind, Stopping):
            given[kind.scale[0]] = SCALE
        checkpoint = copy.deepcopy(self.original)
        with run.stopwatch() as seconds:
            make_method(name, given).unlearn(checkpoint, self.split, run)
        return seconds[0], run.samples_seen

    def floor(self, counts: Counts) -> float:
        """The seconds of so many batches and steps alone."""
        run, model = self.run(), copy.deepcopy(self.original.model)
        run.place(model).train()
        optimizer = make_optimizer(model, self.original.spec.recipe.training)
        act("trained", model, optimizer, *self.batch(8))  # so that there are gradients
        batches = {size: self.batch(size) for _, size, _ in counts}
        with run.stopwatch() as seconds:
            for (what, size, trained), count in counts.items():
                for name, parameter in model.named_parameters():
                    parameter.requires_grad_(not trained or name in trained)
                for _ in range(count):
                    act(what, model, optimizer, *batches[size])
        return seconds[0]

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Resident images and labels."""
        images = torch.rand((max(size, 1), 3, 32, 32), device=self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, torch.zeros(len(images), dtype=torch.int64, device=self.device)


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    """One of training, so that gradients and momenta are there."""
    act("trained", model, optimizer, images, labels)
    optimizer.step()


def act(
    what: str, model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    """What is counted once."""
    if what == "steps":
        optimizer.step()
    elif what == "predicted":
        with torch.no_grad():
            model(images)
    elif what == "attacked":
        images = images.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(model(images), labels), images)
    else:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(model(images), labels))


@contextmanager
def counting(network: type[nn.Module]) -> Iterator[Counts]:
    """Count the batches that networks of a class see, and the steps of optimisers."""
    counts: Counts = Counter()

    def saw(module: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        if type(module) is not network:
            return
        what, trained = "predicted", ALL
        if torch.is_grad_enabled():
            learns = {name for name, one in module.named_parameters() if one.requires_grad}
            what = "attacked" if inputs[0].requires_grad else "trained" if learns else what
            trained = frozenset(learns) if what == "trained" else ALL
        counts[what, len(inputs[0]), trained] += 1

    def stepped(*_: object) -> None:
        counts["steps", 0, ALL] += 1

    hooks = register_module_forward_hook(saw), register_optimizer_step_post_hook(stepped)
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def needed(work: Work, name: str) -> Counts:
    """What a method does, counted."""
    with counting(type(work.original.model)) as counts:
        _, samples = work.unlearn(name)
    if method_class(name).iterative:
        return counts
    size = work.original.spec.recipe.training.batch_size
    whole, rest = ("trained", size, ALL), ("trained", samples % size, ALL)
    return Counter({whole: samples // size, rest: 1})


def row(work: Work, name: str, rounds: int) -> str:
    """A line of the table."""
    counts = needed(work, name)
    pairs = [(work.unlearn(name)[0], work.floor(counts)) for _ in range(rounds)]
    ratios = sorted(floor / seconds for seconds, floor in pairs)
    images = Counter[str]()
    for (what, size, _), count in counts.items():
        images[what] += count * (size or 1)
    seen = images.total() - images["steps"]
    seconds = statistics.median(one for one, _ in pairs)
    numbers = [f"{images[what]:,}" for what in ("trained", "attacked", "predicted", "steps")]
    found = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return " | ".join([name, *numbers, f"{seconds:.2f}", f"{seen / seconds:,.0f}", found])


def main() -> None:
    """Print a row for each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--samples", type=int, default=1280)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--methods", nargs="+", default=unlearning_methods())
    options = parser.parse_args()
    work = Work(options)
    print("| method | trained | attacked | predicted | steps | s | images/s | of the bare passes |")
    print("|---" + "|---:" * 7 + "|")
    for name in options.methods:
        print(f"| {row(work, name, options.rounds)} |", flush=True)


if __name__ == "__main__":
    main()
