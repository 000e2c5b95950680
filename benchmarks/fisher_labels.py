"""What the faster estimates of the Fisher information do to unlearning: UA and RA of method ff.

    python -m benchmarks.fisher_labels                                        about 2 minutes
    python -m benchmarks.fisher_labels --dataset cifar10_jpeg --data-dir PATH

The Fisher information with the expectation over all classes; in one pass, by random signs or one
drawn label an image; and by signs on an eighth of the images. Prints Markdown: means over the
unlearning seeds, with their deviation, and how far the estimates are from ``exact``: the mean over
the seeds of the difference, noise and everything else being the same. Works without MLflow.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from typing import Any

import mu
from benchmarks.settings import CIFAR_SETTINGS
from mu.data.forget_split import ForgetSplit
from mu.methods import make_method

ESTIMATES = ("exact", "signs", "drawn", "signs on an eighth")
COLUMNS = ("UA", "RA", "TA")
GOAL = 1.0


def main() -> None:
    """Train the originals, then print a row for each forget set and estimate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, default=3, help="unlearning seeds")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.95])
    parser.add_argument("--forget", nargs="+", default=["class:5", "random:10%"])
    options = parser.parse_args()
    data = mu.load_data(options.dataset, options.data_dir)
    # The split and the class are not those on which the defaults of the methods were chosen.
    settings = {} if options.dataset == "digits" else {**CIFAR_SETTINGS, "split_seed": 1}
    heads = ("original", "forget", "Fisher information", *COLUMNS, "UA, RA from exact", "within 1")
    print("| " + " | ".join(heads) + " |")
    print("|---" * 3 + "|---:" * len(COLUMNS) + "|---:|---|")
    for rate in options.rates:
        recipe = mu.make_recipe(data, rate=rate, **settings)
        run = mu.Run(device=options.device, show_progress=False)
        original = mu.train_original(data, recipe, run)
        for forget in options.forget:
            split = mu.forget_split(original, data, forget)
            found = {
                estimate: [
                    unlearned(original, split, estimate, seed, options.device)
                    for seed in range(options.seeds)
                ]
                for estimate in ESTIMATES
            }
            for estimate, rows in found.items():
                cells = [f"{100 * rate:g} % sparse" if rate else "dense", forget, estimate]
                cells += [spread([row[name] for row in rows]) for name in COLUMNS]
                cells += apart(rows, found["exact"]) if estimate != "exact" else ["", ""]
                print("| " + " | ".join(cells) + " |", flush=True)


def unlearned(
    original: mu.Checkpoint, split: ForgetSplit, estimate: str, seed: int, device: str
) -> dict[str, float]:
    """UA, RA and TA after ff was applied to a copy of the original."""
    settings: dict[str, Any] = {"fisher_labels": estimate.partition(" ")[0]}
    samples = len(split.retain)
    settings["fisher_samples"] = samples // 8 if "eighth" in estimate else samples
    checkpoint = copy.deepcopy(original)
    run = mu.Run(device=device, seed=seed, show_progress=False)
    make_method("ff", settings).unlearn(checkpoint, split, run)
    return mu.evaluate(checkpoint.model, split, run)


def spread(values: list[float]) -> str:
    """``mean ± deviation``."""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def apart(rows: list[dict[str, float]], exact: list[dict[str, float]]) -> list[str]:
    """The mean differences of UA and RA, seed by seed, and whether both reach the goal."""
    means = [
        statistics.mean(row[name] - other[name] for row, other in zip(rows, exact, strict=True))
        for name in ("UA", "RA")
    ]
    text = ", ".join(f"{mean:+.2f}" for mean in means)
    return [text, "yes" if all(abs(mean) <= GOAL for mean in means) else "no"]


if __name__ == "__main__":
    main()
