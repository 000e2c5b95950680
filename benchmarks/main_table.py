"""The table of the main job: originals dense and sparse, two forget sets, every method.

    python -m benchmarks.main_table --data-dir PATH          about an hour on two cores
    python -m benchmarks.main_table --dataset fashion_mnist  as long
    python -m benchmarks.main_table --dataset digits         about 10 minutes

Every cell is a run of the entry points in the tracking store in use; runs that are there already
are not made again, so an interrupted table goes on. Oracles are trained once for each original
and forget set. Prints Markdown: means over the unlearning seeds, with their deviation.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

from benchmarks.settings import find_or_make_original, find_or_make_unlearned, settings_of
from mu.evaluation.statistics import summarise
from mu.methods import METHODS

FORGET = ("class:5", "random:10%")
# All of it said, since a store may hold originals of other kinds.
ORIGINAL = {"profile": "imp", "pruner": "omp", "rounds": 1, "rewind": "rewind_lt", "seed": 0}
COLUMNS = ("UA", "RA", "TA", "MIA", "gap", "RTE")


def main() -> None:
    """Make what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="cifar10_jpeg")
    parser.add_argument("--data-dir", default="none")
    parser.add_argument("--seeds", type=int, default=3, help="unlearning seeds of each method")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.95])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    # The split and the class are not those on which the defaults of the methods were chosen.
    settings = {**settings_of(options.dataset), "split_seed": 1}
    print("| original | forget | method | " + " | ".join(COLUMNS) + " |")
    print("|---" * 3 + "|---:" * len(COLUMNS) + "|")
    for rate, forget in itertools.product(options.rates, FORGET):
        asked = {"dataset": options.dataset, "rate": rate, **ORIGINAL, **settings}
        original = find_or_make_original(asked, options.data_dir)
        before = cell(original, forget, "ft", [0], suffix="_before")
        kind = f"{100 * rate:.0f} % sparse" if rate else "dense"
        print(f"| {kind} | {forget} | (original) | " + " | ".join(before) + " |")
        for method in options.methods:
            seeds = [0] if method == "retrain" else range(options.seeds)
            row = cell(original, forget, method, seeds)
            print(f"| | | {method} | " + " | ".join(row) + " |", flush=True)


def cell(
    original: str, forget: str, method: str, seeds: Sequence[int], suffix: str = ""
) -> list[str]:
    """The numbers of one row, ``mean ± deviation`` over the seeds."""
    found = [
        find_or_make_unlearned(original, forget=forget, method=method, seed=seed).metrics
        for seed in seeds
    ]
    if suffix:
        found = [{name: row.get(name + suffix) for name in COLUMNS} for row in found]
    texts = []
    for name in COLUMNS:
        values = [row[name] for row in found if row.get(name) is not None]
        texts.append(mean_and_spread(values))
    return texts


def mean_and_spread(values: Sequence[float]) -> str:
    """``mean ± standard deviation``; the mean alone of one value, ``-`` of none."""
    if not values:
        return "-"
    found = summarise(values)
    return f"{found.mean:.2f}" + ("" if found.sd is None else f" ± {found.sd:.2f}")


if __name__ == "__main__":
    main()
