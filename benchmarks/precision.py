"""What bf16 gains on this CPU, and what it does to accuracy: the ground of ``precision=auto``.

    python -m benchmarks.precision                              ResNet-20 and ResNet-18, minutes
    python -m benchmarks.precision --arch resnet20 --samples 256 --rounds 3
    python -m benchmarks.precision --parity 5                   accuracy over five seeds, on digits
    python -m benchmarks.precision --parity 5 --dataset fashion_mnist --train-size 2000

Images a second of the training loop and of the bare passes (forward, backward and step on a
resident batch; no data, no metrics), in fp32 and bf16, in turn, in one process; ratios are taken
round by round. Prints the processor, its instructions for bf16, and what auto takes. Where there
are no such instructions torch computes bf16 by way of fp32: then auto is fp32, and bf16 is slower.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.training import Work, floor, loop, ratios
from mu.data import load_data
from mu.evaluation.outputs import predict
from mu.evaluation.statistics import paired
from mu.originals.train import make_recipe, train_original
from mu.precision import decide
from mu.processor import Processor
from mu.runs import Run

Times = dict[str, list[float]]
CPU = torch.device("cpu")


def times(work: Work, rounds: int) -> Times:
    """Seconds of both ways in both precisions, in turn; a round before is not counted."""
    ways: dict[str, Callable[[], float]] = {}
    for precision in ("fp32", "bf16"):
        same = replace(work, precision=precision)
        ways |= {
            f"bare passes, {precision}": lambda one=same: floor(one),  # type: ignore[misc]
            f"loop, {precision}": lambda one=same: loop(one),  # type: ignore[misc]
        }
    found: Times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = way()
            print(f"{work.arch} round {number} {name} {seconds:.2f} s", file=sys.stderr)
            if number:
                found[name].append(seconds)
    return found


def print_speed(work: Work, rounds: int) -> None:
    """A table of the ways, and the goals."""
    found = times(work, rounds)
    print(f"\n{work.arch}, batch {work.batch_size}, {work.samples} images, {rounds} rounds, "
          f"{torch.get_num_threads()} threads\n")  # fmt: skip
    print("| way | images/s | of the bare passes in fp32, median (lowest to highest) |")
    print("|---|---:|---:|")
    for name, seconds in found.items():
        print(f"| {name} | {work.samples / statistics.median(seconds):.0f} | "
              f"{_share(found['bare passes, fp32'], seconds)} |")  # fmt: skip
    gain = _share(found["bare passes, fp32"], found["loop, bf16"])
    print(f"\n- loop in bf16 to bare passes in fp32: {gain} (goal with instructions: 150 %)")
    for precision in ("fp32", "bf16"):
        share = _share(found[f"bare passes, {precision}"], found[f"loop, {precision}"])
        print(f"- loop to bare passes, {precision}: {share} (goal: 97 %)")
    shape = work.images().shape
    print(f"- precision=auto: {decide(work.model(), shape).precision}", flush=True)


def _share(over: list[float], under: list[float]) -> str:
    shares = [100 * one for one in ratios(over, under)]
    return f"{statistics.median(shares):.1f} % ({min(shares):.1f} to {max(shares):.1f})"


def print_parity(options: argparse.Namespace) -> None:
    """Test accuracies of trainings in both precisions, seed by seed, and their mean difference."""
    dataset = load_data(options.dataset, options.data_dir)
    settings = {"arch": options.arch or "resnet20", "epochs": options.epochs, "rate": 0.0}
    settings |= {"train_size": options.train_size} if options.train_size else {}
    print(f"\n{settings['arch']} on {options.dataset}, {options.epochs} epochs, "
          f"train_size {options.train_size or 'all'}\n")  # fmt: skip
    print("| seed | TA, fp32 | TA, bf16 | difference |\n|---:|---:|---:|---:|")
    found = []
    for seed in range(options.parity):
        pair = []
        for precision in ("fp32", "bf16"):
            run = Run(device="cpu", precision=precision, seed=seed, show_progress=False)
            recipe = make_recipe(dataset, seed=seed, **settings)
            model = train_original(dataset, recipe, run).model
            pair.append(predict(model, dataset.test_subset(), run).accuracy())
        found.append(pair)
        cells = [*pair, pair[1] - pair[0]]
        print(f"| {seed} | {' | '.join(f'{one:.2f}' for one in cells)} |", flush=True)
    plain, bf16 = zip(*found, strict=True)
    means = [statistics.fmean(one) for one in (plain, bf16)]
    print(f"| mean | {means[0]:.2f} | {means[1]:.2f} | {means[1] - means[0]:+.2f} |")
    if len(found) > 1:
        told, spread = paired(bf16, plain), statistics.stdev(plain)
        interval = (
            "" if told.low is None else f", 95 % interval {told.low:+.2f} to {told.high:+.2f}"
        )
        print(f"\n- bf16 minus fp32: {told.difference:+.2f} points{interval}, over {told.count} "
              f"seeds; the seed alone: standard deviation {spread:.2f} in fp32")  # fmt: skip


def main() -> None:
    """Print the processor, and speed or parity."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", help="default: resnet20 and, for speed, resnet18")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parity", type=int, metavar="SEEDS", help="measure accuracy, not speed")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    here = Processor.of(CPU)
    print(f"{here.name}; instructions for bf16: {', '.join(here.bf16) or 'none'}; "
          f"torch {torch.__version__}")  # fmt: skip
    if options.parity:
        print_parity(options)
        return
    for arch in [options.arch] if options.arch else ["resnet20", "resnet18"]:
        print_speed(
            Work(arch, options.samples, options.batch_size, 0, "cpu", "fp32"), options.rounds
        )


if __name__ == "__main__":
    main()
