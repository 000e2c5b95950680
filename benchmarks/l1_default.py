"""The gap of l1_sparse to the oracle over l1_strength and learning rate, without the rule.

    python -m benchmarks.l1_default                                      about 8 minutes
    python -m benchmarks.l1_default --dataset cifar10_jpeg --data-dir PATH \
        --forget class:3 --lr 0.1 --l1_strength 1 2 3                         about 15 minutes
    python -m benchmarks.l1_default --profile vit --lr own --l1_strength 1 2  about 10 minutes

Prints Markdown: a row for each original and forget set, a column for fine-tuning (no penalty)
and for each l1_strength. Works without MLflow; seed 0 everywhere.
"""

from __future__ import annotations

import argparse
import copy

import mu
from benchmarks.settings import settings_of
from mu.data.forget_split import ForgetSplit
from mu.methods import make_method


def main() -> None:
    """Train the originals and oracles, then print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--profile", default="imp", help="of the originals")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.95])
    parser.add_argument(
        "--forget", nargs="+", default=["class:0", "class:3", "class:8", "random:10%"]
    )
    parser.add_argument(
        "--lr", nargs="+", default=["0.01", "0.1"], help="own: what the methods start from"
    )
    parser.add_argument("--l1_strength", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0, 3.0])
    options = parser.parse_args()
    data = mu.load_data(options.dataset, options.data_dir)
    settings = settings_of(options.dataset)
    print(
        "| original | forget | lr | ft | "
        + " | ".join(f"{s:g}" for s in options.l1_strength)
        + " |"
    )
    print("|---" * 3 + "|---:" * (1 + len(options.l1_strength)) + "|")
    for rate in options.rates:
        recipe = mu.make_recipe(data, profile=options.profile, rate=rate, **settings)
        original = mu.train_original(data, recipe, mu.Run())
        for forget in options.forget:
            split = mu.forget_split(original, data, forget)
            oracle = unlearned(original, split, "retrain", {})
            for lr in options.lr:
                own = make_method("ft").training(recipe.training).lr
                given = {"lr": own if lr == "own" else float(lr)}
                plain = mu.gaps(unlearned(original, split, "ft", given), oracle)["gap"]
                gaps = [
                    mu.gaps(unlearned(original, split, "l1_sparse", asked), oracle)["gap"]
                    for asked in (
                        {**given, "l1_strength": l1_strength} for l1_strength in options.l1_strength
                    )
                ]
                cells = " | ".join(f"{gap:.2f}" for gap in [plain, *gaps])
                print(f"| {100 * rate:g} % | {forget} | {lr} | {cells} |", flush=True)


def unlearned(
    original: mu.Checkpoint, split: ForgetSplit, name: str, settings: dict[str, float]
) -> dict[str, float]:
    """UA, RA, TA and MIA after a method was applied to a copy of the original."""
    checkpoint = copy.deepcopy(original)
    make_method(name, settings).unlearn(checkpoint, split, mu.Run())
    return mu.evaluate(checkpoint.model, split, mu.Run())


if __name__ == "__main__":
    main()
