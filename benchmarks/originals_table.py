"""The table of originals: how well each pruner's network classifies at the same sparsity.

    python -m benchmarks.originals_table --data-dir PATH     hours on two cores
    python -m benchmarks.originals_table --dataset digits    about 6 minutes

Every cell is a run of ``prune`` in the tracking store in use; runs that are there already are
not made again, so an interrupted table goes on. Prints Markdown: means over the seeds, with their
deviation. The split is the same for all; seeds are of initial weights and the order of samples.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks.settings import CIFAR_SETTINGS, find_or_make_original
from mu.tracking import connect

COLUMNS = ("sparsity", "train_acc", "TA", "train_s")
ROUNDS = 5


def rows_of(rate: float) -> dict[str, dict[str, object]]:
    """What to ask of ``prune``, by the label of its row; all sparse ones end at ``rate``."""
    one_shot = {"rate": rate}
    each = round(1 - (1 - rate) ** (1 / ROUNDS), 6)
    return {
        "dense": {"rate": 0.0},
        "omp": {"pruner": "omp", "rewind": "rewind_lt", **one_shot},
        "omp, lt": {"pruner": "omp", "rewind": "lt", **one_shot},
        "omp, pt": {"pruner": "omp", "rewind": "pt", **one_shot},
        f"imp, {ROUNDS} rounds": {"pruner": "imp", "rounds": ROUNDS, "rate": each},
        "channel": {"pruner": "channel", "rewind": "rewind_lt", **one_shot},
        "synflow": {"pruner": "synflow", **one_shot},
        "snip": {"pruner": "snip", **one_shot},
        "grasp": {"pruner": "grasp", **one_shot},
        "random": {"pruner": "random", **one_shot},
        "dense, ls": {"profile": "ls", "rate": 0.0},
        "dense, sam": {"profile": "sam", "rate": 0.0},
        "omp, ls": {"profile": "ls", **one_shot},
        "omp, sam": {"profile": "sam", **one_shot},
    }


def main() -> None:
    """Make what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="cifar10_jpeg")
    parser.add_argument("--data-dir", default="none")
    parser.add_argument("--rate", type=float, default=0.95)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", help="labels of rows; by default all")
    options = parser.parse_args()
    settings = {} if options.dataset == "digits" else {**CIFAR_SETTINGS, "split_seed": 1}
    print("| original | " + " | ".join(COLUMNS) + " |")
    print("|---" + "|---:" * len(COLUMNS) + "|")
    for label, own in rows_of(options.rate).items():
        if options.rows and label not in options.rows:
            continue
        found = []
        for seed in range(options.seeds):
            asked = {"profile": "imp", "rounds": 1, **settings, **own}
            asked |= {"dataset": options.dataset, "seed": seed}
            run_id = find_or_make_original(asked, options.data_dir)
            found.append(connect().run(run_id).data.metrics)
        cells = []
        for name in COLUMNS:
            values = [metrics[name] for metrics in found]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}")
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
