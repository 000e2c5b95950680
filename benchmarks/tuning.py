"""Whether tuning by the criterion, without an oracle, brings a method nearer to the oracle.

    MLFLOW_TRACKING_URI=sqlite:////tmp/tuning.db python -m benchmarks.tuning     about 15 minutes

For each original, forget set and method three unlearnings are compared with the oracle, and with
doing nothing: with the default settings, with the best of some trials by the criterion
(``tune``), and with the best by the oracle of another forget set, which is an upper bound: another
class, or as many other random samples. All are ordinary runs in the store, so what is there is not
made again.

Prints Markdown: the gap, mean and standard deviation over the originals, each with its own seed of
training, search and unlearning; and what was chosen.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import mu
from benchmarks.settings import find_or_make_original, find_or_make_unlearned, run_entry
from entrypoints import tune
from mu.tracking import connect, fetch_checkpoint, read_run

BY = ("criterion", "oracle")


def main() -> None:
    """Make what is missing, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--forget", nargs="+", default=["class:8", "random:10%"])
    parser.add_argument("--methods", nargs="+", default=["l1_sparse", "ft"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=6)
    options = parser.parse_args()
    chosen: list[str] = []
    print(
        "| forget | method | nothing | default | tuned | upper bound | tuned - default | better |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for forget in options.forget:
            for method in options.methods:
                rows = []
                for seed in options.seeds:
                    row = gaps(forget, method, seed, options.trials, Path(folder))
                    rows.append(row)
                    chosen += [f"| {forget} | {method} | {seed} | {words(row)} |"]
                print(f"| {forget} | {method} | {line(rows)} |", flush=True)
    print("\n| forget | method | original | default | tuned | upper bound |")
    print("|---|---|---:|---|---|---|")
    print("\n".join(chosen))


def gaps(forget: str, method: str, seed: int, trials: int, folder: Path) -> dict[str, Any]:
    """The gap to the oracle of doing nothing and of each way of choosing, and what was chosen."""
    original = find_or_make_original({"dataset": "digits", "seed": seed}, "none")
    about: dict[str, object] = {"method": method, "forget": forget, "seed": seed}
    rule = {"l1_sparse": "l1_strength"}.get(method, "lr")  # None: the default's
    plain = find_or_make_unlearned(original, **about, **{rule: None})
    found: dict[str, Any] = {"nothing": plain.metrics["gap_before"]}
    found["default"] = plain.metrics["gap"], {}
    targets = dict(zip(BY, ("criterion", another(forget, original, folder)), strict=True))
    for by, target in targets.items():
        settings = tuned({**about, "prune_run_id": original, "trials": trials, "target": target})
        found[by] = plain.metrics["gap"], {}
        if settings:
            found[by] = (
                find_or_make_unlearned(original, **about, **settings).metrics["gap"],
                settings,
            )
    return found


def tuned(asked: Mapping[str, object]) -> Mapping[str, Any]:
    """The settings that a search chooses; none where it keeps the defaults."""
    run_entry(tune, asked)
    store = connect()
    run = next(store.search("tags.`mu.tune` != '' and attributes.status = 'FINISHED'"))
    grid = read_run(store, run.info.run_id).read("best.yaml")
    _, *best = yaml.safe_load(grid)["methods"]
    return next(iter(best[0].values())) if best else {}


def another(forget: str, original: str, folder: Path) -> str:
    """A forget set of the same kind and size that shares no sample with this one."""
    if forget.startswith("class:"):
        return "class:5" if forget != "class:5" else "class:6"
    file = folder / f"{original}.csv"
    checkpoint = fetch_checkpoint(connect(), original)
    split = mu.forget_split(checkpoint, mu.load_data("digits"), forget)
    drawn = np.random.default_rng(0).permutation(split.retain)[: len(split.forget)]
    file.write_text("\n".join(map(str, sorted(drawn.tolist()))) + "\n")
    return f"indices:{file}"


def line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Gaps over the originals, and in how many of them tuning by the criterion was better."""
    of = {name: [row[name][0] for row in rows] for name in ("default", *BY)}
    changes = [new - old for new, old in zip(of["criterion"], of["default"], strict=True)]
    better, worse = (sum(sign * one < 0 for one in changes) for sign in (1, -1))
    values = [[row["nothing"] for row in rows], *of.values(), changes]
    counts = f"{better} of {len(rows)}, worse {worse}"
    return " | ".join([*map(cell, values), counts])


def cell(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


def words(row: Mapping[str, Any]) -> str:
    """Gap and settings of each way of choosing."""

    def one(gap: float, settings: Mapping[str, Any]) -> str:
        text = " ".join(f"{name}={value:.3g}" for name, value in settings.items())
        return f"{gap:.2f}: {text or 'the default'}"

    return " | ".join([f"{row['default'][0]:.2f}", *(one(*row[by]) for by in BY)])


if __name__ == "__main__":
    main()
