"""Spectral signatures: how many poisoned samples are found, and what forgetting them leaves.

    python -m benchmarks.suspects                    about 10 minutes, digits

Every row is a run of the entry ``backdoor`` in the tracking store in use. Prints Markdown.
"""

from __future__ import annotations

import argparse
import itertools

from benchmarks.settings import run_entry
from entrypoints import backdoor
from mu.tracking import connect

TRIGGERS = ("patch", "blended", "warping")
POISONS = ("random:1%", "random:3%", "random:10%")
SHARES = (0.1, 0.2, 0.4)
SHOWN = ("suspects_precision", "suspects_recall", "ASR_before", "ASR", "TA_before", "TA")


def main() -> None:
    """Make every row, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=0.95)
    parser.add_argument("--method", default="l1_sparse")
    options = parser.parse_args()
    print("| trigger | poison | share | " + " | ".join(SHOWN) + " |")
    print("|---" * 3 + "|---:" * len(SHOWN) + "|")
    for trigger, poison, share in itertools.product(TRIGGERS, POISONS, SHARES):
        asked = {
            "trigger": trigger,
            "poison": poison,
            "prune_rate": options.rate,
            "method": options.method,
            "suspects": "spectral",
            "suspects_share": share,
        }
        run_entry(backdoor, asked)
        run = next(connect().search("tags.`mu.entry` = 'backdoor' and status = 'FINISHED'"))
        cells = [f"{run.data.metrics[name]:.1f}" for name in SHOWN]
        print(f"| {trigger} | {poison} | {share:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
