"""Kill commands at random moments, continue them, and compare with what was never interrupted.

    python -m benchmarks.kills --count 100 --jobs 2                    an hour on two cores

Each command runs once to its end. Then it is started again in a store of its own, killed with all
its processes (SIGKILL) at a random moment, and continued as the documentation says:
``resume_run_id`` for prune, unlearn and backdoor, the same command for sweep and dataset. It is
killed up to three times before it may end. Counted are

    lost         the continued command did not end well
    different    weights, masks or numbers (but times) are not, to the bit, those of the whole run
    false        a run was FINISHED although its work was not complete

All three should be 0. ``anew`` counts kills before anything could be kept: the command is repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COSTS = {"train_s", "RTE", "speedup", "peak_memory_mb"}
MOST_KILLS = 3  # of one command before it may end
SHORT = "--device cpu"
ORIGINAL = "prune --epochs 12 --rewind_epoch 1 --device cpu"
GRID = "{originals: {epochs: 12, rewind_epoch: 1}, forget: ['class:3'], methods: [ft, ga]}"


@dataclass(frozen=True)
class Case:
    """A command; ``after``: it needs the finished original in its store."""

    name: str
    line: str
    after: bool = False

    @property
    def entry(self) -> str:
        """Its entry point."""
        return self.line.split()[0]

    @property
    def resumes(self) -> bool:
        """Whether it is continued by the ID of its run."""
        return self.entry in ("prune", "unlearn", "backdoor")


CASES = [
    Case("prune", ORIGINAL),
    Case("prune imp", f"prune --pruner imp --rounds 3 --rate 0.4 --epochs 5 {SHORT}"),
    *(
        Case(f"unlearn {method}", f"unlearn --method {method} --forget class:3 {SHORT}", True)
        for method in ("ft", "l1_sparse", "ga", "retrain")
    ),
    Case("backdoor", f"backdoor --prune_epochs 8 --prune_rewind_epoch 1 {SHORT}"),
    Case("sweep", f"sweep --grid grid.yaml --yes true {SHORT}", True),
    Case("dataset", "dataset --source digits --out digits.lmdb"),
]


class Place:
    """A folder with a store of its own, in which a command runs."""

    def __init__(self, folder: Path, template: Path | None) -> None:
        self.folder = folder
        if template is None:
            folder.mkdir()
        else:
            shutil.copytree(template, folder)
            with closing(self.open()) as store, store:  # artifacts of new runs lie here
                store.execute(
                    "UPDATE experiments SET artifact_location = ? || '/mlruns'", (str(folder),)
                )
        (folder / "grid.yaml").write_text(GRID)

    def open(self) -> sqlite3.Connection:
        """The store's database."""
        return sqlite3.connect(self.folder / "mlflow.db", timeout=60)

    def start(self, line: str) -> subprocess.Popen[str]:
        """A command in this folder, in a process group of its own."""
        entry, *arguments = line.split()
        variables = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder / 'mlflow.db'}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", f"entrypoints.{entry}", *arguments],
            cwd=self.folder, env=variables, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def finished(self) -> Counter[str]:
        """What the finished runs and built files hold, without times."""
        found: Counter[str] = Counter()
        with closing(self.open()) as store:
            runs = store.execute("SELECT run_uuid FROM runs WHERE status = 'FINISHED'").fetchall()
            for (run,) in runs:
                tags = dict(store.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run,)))
                if tags.get("mu.entry") in (None, "sweep", "dataset"):
                    continue
                query = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"
                numbers = {k: v for k, v in store.execute(query, (run,)) if k not in COSTS}
                kept = [tags.get(f"mu.{name}") for name in ("entry", "weights", "mask", "forget")]
                found[json.dumps([kept, sorted(numbers.items())])] += 1
        for file in self.folder.glob("*.lmdb"):
            found[hashlib.sha256(file.read_bytes()).hexdigest()] += 1
        return found

    def interrupted(self, entry: str) -> str | None:
        """The newest run of the entry that is not finished."""
        query = (
            "SELECT runs.run_uuid FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
            "WHERE tags.key = 'mu.entry' AND tags.value = ? AND status != 'FINISHED' "
            "AND runs.run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId') "
            "ORDER BY start_time DESC"
        )
        with closing(self.open()) as store:
            row = store.execute(query, (entry,)).fetchone()
        return None if row is None else str(row[0])


def end(process: subprocess.Popen[str]) -> str:
    """What a command printed; it must end well."""
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"status {process.returncode}:\n{text[-2000:]}")
    return text


class Trial:
    """A command that is killed again and again, and what came of it."""

    def __init__(self, case: Case, place: Place, whole: Counter[str], seconds: float) -> None:
        self.case, self.place, self.whole, self.seconds = case, place, whole, seconds
        self.counts: Counter[str] = Counter()

    def go(self, draws: random.Random) -> Counter[str]:
        """Kill, continue, and compare; gives the counts."""
        line = self.case.line
        for _ in range(draws.randint(1, MOST_KILLS)):
            process = self.place.start(line)
            try:
                text, _ = process.communicate(timeout=draws.uniform(0.35, 1.0) * self.seconds)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            self.counts["kills"] += 1
            self.counts["false"] += any(one not in self.whole for one in self.place.finished())
            line = self._continued()
        else:
            process = self.place.start(line)
            text, _ = process.communicate()
        if process.returncode == 2 and "resume_run_id" in line and " anew" in text:
            self.counts["anew"] += 1
            process = self.place.start(self.case.line)
            text, _ = process.communicate()
        if process.returncode:
            self.counts["lost"] += 1
            print(f"{self.case.name}: status {process.returncode}\n{text[-1500:]}", flush=True)
        elif set(self.place.finished()) != set(self.whole):
            self.counts["different"] += 1
            print(f"{self.case.name}: other results in {self.place.folder}", flush=True)
        return self.counts

    def _continued(self) -> str:
        run = self.place.interrupted(self.case.entry) if self.case.resumes else None
        if run is None:
            return self.case.line
        return f"{self.case.entry} --resume_run_id {run} {SHORT}"


def trials(case: Case, count: int, folder: Path, template: Path, seed: int) -> Counter[str]:
    """Kill a command at least ``count`` times."""
    bare = template if case.after else template.parent / "empty"
    place, began = Place(folder / "whole", bare), time.monotonic()
    end(place.start(case.line))
    seconds, whole = time.monotonic() - began, place.finished()
    draws, counts = random.Random(f"{seed} {case.name}"), Counter({"kills": 0})
    for number in range(10 * count):
        if counts["kills"] >= count:
            break
        place = Place(folder / str(number), bare)
        found = Trial(case, place, whole, seconds).go(draws)
        counts += found
        if not found["lost"] + found["different"] + found["false"]:
            shutil.rmtree(place.folder)
    return counts


def main() -> None:
    """Print a table, and end with status 1 if anything was lost, different or false."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="kills over all commands")
    parser.add_argument("--jobs", type=int, default=1, help="commands at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="commands whose name begins so")
    options = parser.parse_args()
    cases = [one for one in CASES if one.name.startswith(options.only or "")]
    each = -(-options.count // len(cases))
    scratch = Path(tempfile.mkdtemp(prefix="mu-kills-"))
    (scratch / "nothing").mkdir()
    end(Place(scratch / "empty", None).start("prune --epochs 1 --train_size 50 --device cpu"))
    with closing(sqlite3.connect(scratch / "empty" / "mlflow.db")) as store, store:
        for table in ("tags", "params", "metrics", "latest_metrics"):
            store.execute(f"DELETE FROM {table}")
        store.execute("UPDATE runs SET lifecycle_stage = 'deleted', status = 'FAILED'")
    end(Place(scratch / "template", scratch / "empty").start(ORIGINAL))

    def work(case: Case) -> Counter[str]:
        folder = scratch / case.name.replace(" ", "-")
        folder.mkdir()
        return trials(case, each, folder, scratch / "template", options.seed)

    columns = ("kills", "anew", "lost", "different", "false")
    print(f"| command | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}", flush=True)
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(options.jobs) as pool:
        for case, counts in zip(cases, pool.map(work, cases), strict=True):
            total += counts
            print(
                f"| {case.name} | {' | '.join(str(counts[one]) for one in columns)} |", flush=True
            )
    print(f"| all | {' | '.join(str(total[one]) for one in columns)} |")
    bad = total["lost"] + total["different"] + total["false"]
    if not bad:
        shutil.rmtree(scratch)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
