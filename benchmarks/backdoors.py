"""How far each trigger's backdoor works, and what each method leaves of it.

    python -m benchmarks.backdoors                    about 15 minutes, digits
    python -m benchmarks.backdoors --data-dir PATH --dataset cifar10_jpeg

Every row is a run of the entry ``backdoor`` in the tracking store in use; poisoned originals that
are there already are used again. Prints Markdown: TA and ASR before, and after each method.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping

from benchmarks.settings import run_entry, settings_of
from entrypoints import backdoor
from mu.data.triggers import TRIGGERS
from mu.tracking import connect, same_value

DRAWN = [name for name in TRIGGERS if name != "image"]  # that one needs a picture
METHODS = ("ft", "ga", "ff", "iu", "l1_sparse", "retrain")


def main() -> None:
    """Make what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", default="none")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.95])
    parser.add_argument("--triggers", nargs="+", default=DRAWN, choices=DRAWN)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    print("| original | trigger | before | " + " | ".join(options.methods) + " |")
    print("|---" * 2 + "|---:" * (1 + len(options.methods)) + "|")
    for rate, trigger in itertools.product(options.rates, options.triggers):
        original = settings_of(options.dataset)
        plain = {name: value for name, value in original.items() if name == "arch"}
        prefixed = {f"prune_{n}": v for n, v in original.items() if n not in plain}
        data = {"dataset": options.dataset, "data_dir": options.data_dir}
        asked = {**data, **plain, **prefixed, "prune_rate": rate, "trigger": trigger}
        rows = [attacked(asked, method) for method in options.methods]
        kind = f"{100 * rate:.0f} % sparse" if rate else "dense"
        cells = [cell(rows[0], "_before"), *(cell(row, "") for row in rows)]
        print(f"| {kind} | {trigger} | " + " | ".join(cells) + " |", flush=True)


def cell(metrics: Mapping[str, float], ending: str) -> str:
    """Accuracy on clean test images, then attack success."""
    return f"{metrics['TA' + ending]:.1f} / {metrics['ASR' + ending]:.1f}"


def attacked(asked: Mapping[str, object], method: str) -> Mapping[str, float]:
    """The metrics of a backdoor run with these settings."""
    told = {"trigger": asked["trigger"], "method": method, "prune_rate": asked["prune_rate"]}
    told["dataset"] = asked["dataset"]
    for _ in range(2):
        for run in connect().search("tags.`mu.entry` = 'backdoor' and status = 'FINISHED'"):
            if all(same_value(run.data.params.get(name), value) for name, value in told.items()):
                return dict(run.data.metrics)
        run_entry(backdoor, {**asked, "method": method})
    raise RuntimeError(f"no run came of {told}")


if __name__ == "__main__":
    main()
