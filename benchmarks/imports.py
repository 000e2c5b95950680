"""What commands import before they answer: modules and milliseconds.

    python -m benchmarks.imports

Each command runs in a process of its own, by ``python -X importtime``, on the store of
MLFLOW_TRACKING_URI; commands that look at runs take its two newest. Prints Markdown: all modules,
the milliseconds that their imports took, the seconds of the whole command on the processor (user
time, which other programs change less than time on the clock), and the packages that took most.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import islice

MOST = 4  # packages that are named


def main() -> None:
    """Run each command, and print a line for it."""
    from mu.tracking import connect, records

    runs = [one.run_id for one in islice(records(connect(), {}), 2)]
    commands: dict[str, list[str]] = {
        "mu --help": ["mu.cli.mu", "--help"],
        "unlearn --help": ["entrypoints.unlearn", "--help"],
        "unlearn --method ftt": ["entrypoints.unlearn", "--method", "ftt"],
        "mu runs --mthod ft": ["mu.cli.mu", "runs", "--mthod", "ft"],
        "mu runs": ["mu.cli.mu", "runs"],
        "mu runs --sort gap": ["mu.cli.mu", "runs", "--sort", "gap"],
    }
    if len(runs) == 2:
        commands["mu show ID"] = ["mu.cli.mu", "show", runs[0][:12]]
        commands["mu diff ID ID"] = ["mu.cli.mu", "diff", *runs]
    print("| command | modules | imports, ms | user time, s | longest |")
    print("| --- |---:|---:|---:| --- |")
    for name, words in commands.items():
        print(f"| `{name}` | {measured(words)} |", flush=True)


def measured(words: Sequence[str]) -> str:
    """The cells of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    plain = subprocess.run([sys.executable, "-m", *words], capture_output=True, check=False)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONNOUSERSITE": "1"},
    )
    if plain.returncode not in (0, 2):
        raise RuntimeError(plain.stderr.decode())
    alone = [one for line in done.stderr.splitlines() if (one := parsed(line))]
    packages: Counter[str] = Counter()
    for module, microseconds in alone:
        packages[module.partition(".")[0]] += microseconds
    longest = ", ".join(f"{name} {spent // 1000}" for name, spent in packages.most_common(MOST))
    total = sum(packages.values()) // 1000
    return f"{len(alone)} | {total} | {seconds:.2f} | {longest}"


def parsed(line: str) -> tuple[str, int] | None:
    """Module, and microseconds without those of what it imports, of a line of importtime."""
    head, _, rest = line.partition("import time:")
    if head or not rest or "self" in rest:
        return None
    alone, _, module = rest.split("|")
    return module.strip(), int(alone)


if __name__ == "__main__":
    main()
