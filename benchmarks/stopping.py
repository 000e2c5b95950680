"""How far each method goes by default, by the rule that is the same for all: a level field.

    python -m benchmarks.stopping                                        about 15 minutes

For originals of several sparsities and seeds, and some forget sets, every method with its
defaults, and doing nothing:

- gap: to the oracle of the same original, in points; UA, RA and TA with it.
- excess: how much surer the network is of the forget set than the rule wants, in points; negative
  where more was forgotten than that (:mod:`mu.methods.stopping`). No oracle has a part in it.
- RTE: seconds of the unlearning, what the rule looks at included.

Works without MLflow. Prints Markdown: mean and standard deviation over the seeds, each the seed of
original, oracle and unlearning.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Iterable

import mu
from benchmarks.settings import settings_of
from mu.data.forget_split import ForgetSplit
from mu.evaluation.controls import NOTHING
from mu.methods import ORACLE_METHOD, make_method, unlearning_methods
from mu.methods.steps.criterion import StopCriterion

COLUMNS = ("gap", "UA", "RA", "TA", "MIA", "excess", "RTE")


def main() -> None:
    """Train the originals and oracles, then print a row for each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.95])
    parser.add_argument("--forget", nargs="+", default=["class:3", "random:10%", "random:1"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=[NOTHING, *unlearning_methods()])
    options = parser.parse_args()
    data = mu.load_data(options.dataset, options.data_dir)
    print("| original | forget | method | " + " | ".join(COLUMNS) + " |")
    print("|---" * 3 + "|---:" * len(COLUMNS) + "|")
    for rate in options.rates:
        originals = {seed: original(data, rate, seed) for seed in options.seeds}
        for forget in options.forget:
            splits = {s: mu.forget_split(one, data, forget) for s, one in originals.items()}
            oracles = {
                s: unlearned(one, splits[s], ORACLE_METHOD, s)[0] for s, one in originals.items()
            }
            for name in options.methods:
                rows = [
                    row(one, splits[seed], oracles[seed], name, seed)
                    for seed, one in originals.items()
                ]
                cells = " | ".join(cell(found[column] for found in rows) for column in COLUMNS)
                print(f"| {100 * rate:g} % | {forget} | {name} | {cells} |", flush=True)


def original(data: mu.ImageDataset, rate: float, seed: int) -> mu.Checkpoint:
    """An original of that sparsity and training seed."""
    recipe = mu.make_recipe(data, rate=rate, seed=seed, **settings_of(data.name))
    return mu.train_original(data, recipe, mu.Run(seed=seed))


def unlearned(
    original: mu.Checkpoint, split: ForgetSplit, name: str, seed: int
) -> tuple[mu.Checkpoint, float]:
    """A copy of the original after a method with its defaults, and the seconds that it took."""
    checkpoint, run = copy.deepcopy(original), mu.Run(seed=seed)
    with run.stopwatch() as seconds:
        make_method(name).unlearn(checkpoint, split, run)
    return checkpoint, seconds[0]


def row(
    original: mu.Checkpoint, split: ForgetSplit, oracle: mu.Checkpoint, name: str, seed: int
) -> dict[str, float]:
    """The numbers of one method."""
    found, seconds = unlearned(original, split, name, seed)
    run = mu.Run(seed=seed)
    metrics = mu.evaluate(found.model, split, run)
    gaps = mu.gaps(metrics, mu.evaluate(oracle.model, split, run))
    excess = StopCriterion(original.model, split, run, 1.0).excess(found.model)
    return {**metrics, "gap": gaps["gap"], "excess": excess, "RTE": seconds}


def cell(values: Iterable[float]) -> str:
    """Mean and standard deviation."""
    found = list(values)
    if len(found) == 1:
        return f"{found[0]:.2f}"
    return f"{statistics.mean(found):.2f} ± {statistics.stdev(found):.2f}"


if __name__ == "__main__":
    main()
