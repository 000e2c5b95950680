"""How far one result of the defaults is from another: over seeds, and over threads.

    python -m benchmarks.robust_defaults backdoor             10 runs on the digits
    python -m benchmarks.robust_defaults unlearn              the main job, with two oracles each
    python -m benchmarks.robust_defaults backdoor --label NAME --l1_strength=3
                                                              the same with other options

Each cell is a run of the entry with its own original, whose seed is the run's; another number of
threads changes the rounding alone. A cell that is done is appended to FOLDER/cells.jsonl, and not
made again. Prints Markdown. ``between oracles``: the gap between two oracles of one original that
differ in their seed alone, which is what a method that forgets perfectly would have.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType
from typing import Any

from benchmarks.settings import run_entry
from entrypoints import backdoor, unlearn
from mu.evaluation.gap import gaps
from mu.tags import ORACLE
from mu.tracking import connect

Cell = Mapping[str, Any]
COLUMNS = {
    "backdoor": ("TA_before", "ASR_before", "TA", "lost", "ASR", "seconds", "RTE"),
    "unlearn": ("UA", "RA", "TA", "MIA", "gap", "between oracles", "seconds", "RTE"),
}
ANOTHER = 1000  # added to an oracle's seed to give another one
BETTER = {"TA_before", "ASR_before", "TA", "UA", "RA", "MIA"}  # worst is the lowest


def main() -> None:
    """Make the cells that are missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", choices=COLUMNS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, default=Path("robust_defaults"))
    parser.add_argument("--label", default="defaults", help="name of what the other options say")
    options, words = parser.parse_known_args()
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    options.folder.mkdir(parents=True, exist_ok=True)
    done = _read(options.folder)
    cells = []
    for seed in options.seeds:
        for threads in options.threads:
            what = {"job": options.job, "label": options.label, "seed": seed, "threads": threads}
            found = next((one for one in done if what.items() <= one.items()), None)
            cells.append(found or _made(what, given, options.folder))
    _print(options, cells)


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / "cells.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _made(what: Cell, given: Mapping[str, str], folder: Path) -> Cell:
    """Make a cell, in a store of its number of threads: originals of another one are not its."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder.absolute()}/{what['threads']}.db"
    seeds = {"seed": what["seed"], "prune_seed": what["seed"], "threads": what["threads"]}
    start = time.perf_counter()
    numbers = JOBS[what["job"]]({**seeds, **given})
    cell = {**what, **numbers, "seconds": time.perf_counter() - start}
    with (folder / "cells.jsonl").open("a") as file:
        file.write(json.dumps(cell) + "\n")
    return cell


def _backdoor(settings: Mapping[str, object]) -> dict[str, float]:
    found = _run(backdoor, settings)
    return {**found, "lost": found["TA_before"] - found["TA"]}


def _unlearn(settings: Mapping[str, object]) -> dict[str, float]:
    found = _run(unlearn, {**settings, "oracle_run_id": "train"})
    run = _last("unlearn")
    oracle = connect().run(run.data.tags[ORACLE]).data
    given = {name: oracle.params[name] for name in ("prune_run_id", "forget")}
    seed = int(oracle.params["seed"]) + ANOTHER
    again = {**given, "method": "retrain", "seed": seed, "threads": settings["threads"]}
    return {**found, "between oracles": gaps(oracle.metrics, _run(unlearn, again))["gap"]}


JOBS: dict[str, Callable[[Mapping[str, object]], dict[str, float]]] = {
    "backdoor": _backdoor,
    "unlearn": _unlearn,
}


def _run(entry: ModuleType, settings: Mapping[str, object]) -> dict[str, float]:
    """The metrics of a new run."""
    run_entry(entry, settings)
    return dict(_last(entry.__name__.rpartition(".")[2]).data.metrics)


def _last(entry: str) -> Any:
    query = f"tags.`mu.entry` = '{entry}' and attributes.status = 'FINISHED'"
    runs = (run for run in connect().search(query) if "mlflow.parentRunId" not in run.data.tags)
    return max(runs, key=lambda run: run.info.end_time)


def _print(options: argparse.Namespace, cells: Sequence[Cell]) -> None:
    columns = COLUMNS[options.job]
    print("| options | threads | seeds | " + " | ".join(columns) + " |")
    print("|---|---|---:|" + "---:|" * len(columns))
    for threads in [*options.threads, None]:
        some = [one for one in cells if threads in (None, one["threads"])]
        numbers = [_numbers([one[name] for one in some], name) for name in columns]
        said = "all" if threads is None else threads
        print(f"| {options.label} | {said} | {len(some)} | " + " | ".join(numbers) + " |")


def _numbers(values: Sequence[float], name: str) -> str:
    """Mean ± standard deviation (worst)."""
    worst = min(values) if name in BETTER else max(values)
    spread = stdev(values) if len(values) > 1 else 0.0
    return f"{fmean(values):.2f} ± {spread:.2f} ({worst:.2f})"


if __name__ == "__main__":
    main()
