"""What passes over live channels save: a step of training, and a pass, by network, pruner and rate.

    python -m benchmarks.live_channels [ARCH ...]
    python -m benchmarks.live_channels --unlearn

The second retrains and fine-tunes a ResNet-18 at 95 % `channel` on the digits, both ways: seconds,
and the numbers of the networks that come out.

On one thread, timed by its processor time, all kinds in turn, medians of :data:`TURNS`: over all
channels under the mask; over live channels; and the floor, forward and backward passes of the
network without dead channels and normalisation (:mod:`mu.compact`), which cannot be unlearned
with. Weights are fresh, images noise of 32x32 pixels in three channels. A step holds the mask and
SGD with momentum too.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mu
import mu.live_channels
from benchmarks.compaction import pruned
from mu.compact.network import compact
from mu.evaluation.gap import GAP_METRICS, gaps
from mu.evaluation.unlearning import measure, predict_split
from mu.live_channels import live_rows
from mu.live_channels.layers import swapped
from mu.masks import Mask
from mu.methods import make_method
from mu.pruning.base import prunable

NETWORKS = ("resnet20", "resnet18")
CASES = [*(("channel", rate) for rate in (0.3, 0.5, 0.8, 0.95)), ("omp", 0.95), ("omp", 0.99)]
BATCH, TURNS = 128, 5
LINE = "| {:<8} | {:<7} | {:>2.0f} % | {:>2.0f} % |" + 3 * " {:>4.0f} |" + " {:>4.1f} |"
LINE += 2 * " {:>4.0f} |" + " {:>4.1f} |"


def step(model: nn.Module, images: Tensor, labels: Tensor, after: Callable[[], None]) -> None:
    """One step of training, ``after`` being what follows the gradient."""
    F.cross_entropy(model.train()(images), labels).backward()
    after()


def updates(model: nn.Module) -> Callable[[], None]:
    """The optimiser's part of a step, under the mask that ``model`` has now."""
    names = prunable(model, "body", None)
    bound = Mask({name: model.get_parameter(name) != 0 for name in names}).bind(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def update() -> None:
        bound.mask_gradients()
        optimizer.step()
        bound.apply()
        optimizer.zero_grad()

    return update


def milliseconds(kinds: list[Callable[[], object]]) -> list[float]:
    """The median of each, in turn, after one that does not count."""
    found: list[list[float]] = [[] for _ in kinds]
    for _ in range(TURNS + 1):
        for kind, times in zip(kinds, found, strict=True):
            start = time.thread_time()
            kind()
            times.append(1000 * (time.thread_time() - start))
    return [median(times[1:]) for times in found]


def measured(arch: str, pruner: str, rate: float) -> str:
    """A line of the table."""
    model = pruned(arch, pruner, rate)
    rows = live_rows(model)
    small = compact(copy.deepcopy(model), torch.randn(2, 3, 32, 32), arch).network.requires_grad_()
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    images = images.contiguous(memory_format=torch.channels_last)
    masked = model.to(memory_format=torch.channels_last)  # as mu.Run places them
    live = copy.deepcopy(masked)
    with swapped(live, rows):
        networks = (masked, live, small)
        kinds = [partial(step, one, images, labels, updates(one)) for one in networks[:2]]
        kinds.append(partial(step, small, images, labels, small.zero_grad))
        times = milliseconds(kinds)
        asked = milliseconds([partial(_asked, one, images) for one in networks[:2]])
    filters = sum(len(one) for one in rows.values())
    dead = 100 * (1 - sum(int(one.sum()) for one in rows.values()) / filters)
    return LINE.format(
        *(arch, pruner, 100 * rate, dead, *times, times[0] / times[1]), *asked, asked[0] / asked[1]
    )


@torch.no_grad()
def _asked(model: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = model.eval()(images)
    return logits


def unlearn() -> None:
    """Print the table of one retraining and one fine-tuning, over all channels and live ones."""
    data = mu.load_data("digits")
    recipe = mu.make_recipe(data, arch="resnet18", pruner="channel", rate=0.95, epochs=4)
    run = mu.Run(device="cpu", precision="fp32", threads=1, show_progress=False)
    original = mu.train_original(data, recipe, run)
    split = mu.forget_split(original, data, "class:3")
    print("| channels | method | s | UA | RA | TA | MIA | gap |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for name, least in (("all", 2.0), ("live", mu.live_channels.LEAST)):
        mu.live_channels.LEAST = least
        oracle: dict[str, float] = {}
        for method in ("retrain", "ft"):
            checkpoint, start = copy.deepcopy(original), time.thread_time()
            make_method(method, {}).unlearn(checkpoint, split, run)
            seconds = time.thread_time() - start
            numbers = measure(predict_split(checkpoint.model, split, run), seed=0)
            oracle = oracle or numbers
            shown = [numbers[one] for one in GAP_METRICS] + [gaps(numbers, oracle)["gap"]]
            cells = " | ".join(f"{one:.2f}" for one in shown)
            print(f"| {name} | `{method}` | {seconds:.1f} | {cells} |", flush=True)


def main(arches: list[str]) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    if arches == ["--unlearn"]:
        unlearn()
        return
    print(f"torch {torch.__version__}, one thread, ms of {BATCH} images\n")
    print(
        "| network | pruner | pruned | filters without weights | step: masked | live | floor |",
        end="",
    )
    print(" times as fast | pass: masked | live | times as fast |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for arch in arches or NETWORKS:
        for pruner, rate in CASES:
            print(measured(arch, pruner, rate), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
