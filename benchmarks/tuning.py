"""Whether tuning by the criterion, without an oracle, brings a method nearer to the oracle.

    MLFLOW_TRACKING_URI=sqlite:////tmp/tuning.db python -m benchmarks.tuning     about 10 minutes

For each original, forget set and method the gap to the oracle of three unlearnings, and of doing
nothing: with the default settings, with the best of some trials by the criterion (``tune``), and
with the best by the oracle of another forget set, which is an upper bound: another class, or as
many other random samples. All are ordinary runs in the store, so what is there is not made again.

Prints Markdown: a row for each original, with its own seed of training, search and unlearning.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import mu
from benchmarks.settings import find_or_make_original, find_or_make_unlearned, run_entry
from entrypoints import tune
from mu.cli.requests import CRITERION
from mu.tracking import connect, fetch_checkpoint, read_run


def main() -> None:
    """Make what is missing, and print a row for each original, forget set and method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--forget", nargs="+", default=["class:8", "random:10%"])
    parser.add_argument("--methods", nargs="+", default=["l1_sparse", "ft", "ga"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--bounds", type=int, default=1, help="originals with an upper bound")
    options = parser.parse_args()
    cells = list(itertools.product(options.seeds, options.forget, options.methods))
    print("| forget | method | original | nothing | default | tuned | trials | settings |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for seed, forget, method in cells:
        print(row(forget, method, seed, options.trials, CRITERION), flush=True)
    print("\nAn upper bound: chosen by the oracle of another forget set.\n")
    print("| forget | method | original | nothing | default | tuned | trials | settings |")
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for seed, forget, method in cells:
        if seed in options.seeds[: options.bounds]:
            print(row(forget, method, seed, options.trials, None), flush=True)


def row(forget: str, method: str, seed: int, trials: int, target: str | None) -> str:
    """Gaps of doing nothing, of the default settings and of those that a search chooses.

    ``target``: of ``tune``; None: another forget set of the same kind.
    """
    original = find_or_make_original({"dataset": "digits", "seed": seed}, "none")
    about: dict[str, object] = {"method": method, "forget": forget, "seed": seed}
    scale = {"l1_sparse": {"l1_strength": None}, "ft": {"lr": None}, "ga": {"step": 0.005}}
    default = find_or_make_unlearned(original, **about, **scale[method]).metrics
    with tempfile.TemporaryDirectory() as folder:
        target = target or another(forget, original, Path(folder))
        asked = {**about, "prune_run_id": original, "trials": trials, "target": target}
        count, settings = tuned(asked)
    best = default
    if settings:
        best = find_or_make_unlearned(original, **about, **settings).metrics
    gaps = [default["gap_before"], default["gap"], best["gap"]]
    words = " ".join(f"{name}={value:.3g}" for name, value in settings.items()) or "the default"
    numbers = " | ".join(f"{gap:.2f}" for gap in gaps)
    return f"| {forget} | {method} | {seed} | {numbers} | {count} | {words} |"


def tuned(asked: Mapping[str, object]) -> tuple[int, Mapping[str, Any]]:
    """How many trials a search took, and the settings it chose; none where it keeps the defaults.

    As far as it goes on from an interrupted one, it is the same search.
    """
    run_entry(tune, asked)
    store = connect()
    run = next(store.search("tags.`mu.tune` != '' and attributes.status = 'FINISHED'"))
    record = read_run(store, run.info.run_id)
    _, *best = yaml.safe_load(record.read("best.yaml"))["methods"]
    count = len(record.read("trials.csv").splitlines()) - 1
    return count, next(iter(best[0].values())) if best else {}


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


if __name__ == "__main__":
    main()
