"""How far oracles are from each other, and methods from them: what a gap must be read against.

    python -m benchmarks.oracle_spread --data-dir PATH
    python -m benchmarks.oracle_spread --dataset digits

Runs that are there already are not made again. Oracles differ in the seed of their training: the
order of samples. Prints Markdown: the oracles' numbers, mean ± standard deviation; the gap between
two of them, over all pairs; and KLoM of half of the oracles from the other half, and of each
method's runs from those.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

from benchmarks.settings import (
    Unlearned,
    find_or_make_original,
    find_or_make_unlearned,
    settings_of,
)
from mu.checkpoints import forget_split
from mu.data import load_data
from mu.evaluation.distance.klom import klom_by_part
from mu.evaluation.gap import GAP_METRICS, gaps
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.statistics import summarise
from mu.evaluation.unlearning import predict_split
from mu.runs import Run
from mu.tracking import connect, fetch_checkpoint

FORGET = ("class:5", "random:10%")
# All options are given, since a store may hold originals of other kinds.
ORIGINAL = {"profile": "imp", "pruner": "omp", "rounds": 1, "rewind": "rewind_lt", "seed": 0}
# The mean over samples: of so few models the percentile is at its ceiling.
KLOM = ("klom_forget_mean", "klom_retain_mean", "klom_test_mean")


def main() -> None:
    """Make what is missing, then print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="cifar10_jpeg")
    parser.add_argument("--data-dir", default="none")
    parser.add_argument("--oracles", type=int, default=6, help="of each cell, an even number")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.95])
    parser.add_argument("--methods", nargs="*", default=["l1_sparse", "ft"])
    options = parser.parse_args()
    columns = (*GAP_METRICS, "gap", *KLOM)
    print("| original | forget | models | " + " | ".join(columns) + " |")
    print("|---" * 3 + "|---:" * len(columns) + "|")
    for rate, forget in itertools.product(options.rates, FORGET):
        settings = {**settings_of(options.dataset), "split_seed": 1}
        asked = {"dataset": options.dataset, "rate": rate, **ORIGINAL, **settings}
        original = find_or_make_original(asked, options.data_dir)
        kind = f"{100 * rate:.0f} % sparse" if rate else "dense"
        for row in rows(original, forget, options):
            print(f"| {kind} | {forget} | " + " | ".join(row) + " |", flush=True)


def rows(original: str, forget: str, options: argparse.Namespace) -> list[list[str]]:
    """A row of the oracles, and one of each method."""
    half = options.oracles // 2
    oracles = runs_of(original, forget, "retrain", options.oracles)
    looks = looks_at(original, forget, oracles, options.data_dir)
    pairs = itertools.combinations([run.metrics for run in oracles], 2)
    among = [gaps(one, other)["gap"] for one, other in pairs]
    found = [row_of("oracles", oracles, among, klom_by_part(looks[:half], looks[half:]))]
    for method in options.methods:
        unlearned = runs_of(original, forget, method, half)
        own = looks_at(original, forget, unlearned, options.data_dir)
        # Of each run to each oracle, as of each oracle to each other one.
        to_each = [
            gaps(run.metrics, oracle.metrics)["gap"]
            for run, oracle in itertools.product(unlearned, oracles)
        ]
        found.append(row_of(method, unlearned, to_each, klom_by_part(own, looks[half:])))
    return found


def row_of(
    label: str, runs: Sequence[Unlearned], gap: Sequence[float], klom: dict[str, float]
) -> list[str]:
    """The cells of a row."""
    own = [mean_and_spread([run.metrics[name] for run in runs]) for name in GAP_METRICS]
    return [label, *own, mean_and_spread(gap), *(f"{klom[name]:.2f}" for name in KLOM)]


def mean_and_spread(values: Sequence[float]) -> str:
    """``mean ± standard deviation``; the mean alone of one value, ``-`` of none."""
    if not values:
        return "-"
    found = summarise(values)
    return f"{found.mean:.2f}" + ("" if found.sd is None else f" ± {found.sd:.2f}")


def runs_of(original: str, forget: str, method: str, count: int) -> list[Unlearned]:
    """Runs that differ in their seeds."""
    return [
        find_or_make_unlearned(original, forget=forget, method=method, seed=seed)
        for seed in range(count)
    ]


def looks_at(
    original: str, forget: str, runs: Sequence[Unlearned], data_dir: str
) -> list[SplitOutputs]:
    """What each run's network says of the split."""
    store = connect()
    before = fetch_checkpoint(store, original)
    place = None if data_dir == "none" else data_dir
    split = forget_split(before, load_data(before.spec.data.name, place), forget)
    return [
        predict_split(fetch_checkpoint(store, run.run_id).model, split, Run(show_progress=False))
        for run in runs
    ]


if __name__ == "__main__":
    main()
