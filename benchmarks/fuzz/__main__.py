"""Damaged and malicious files, through the real readers of mu: what came of each.

    python -m benchmarks.fuzz --count 20000 --keep FOLDER

Prints a line for each reader: files refused in one line, accepted, executed (a module that a file
named was imported), tracebacks (any other exception, a minute without an answer, an error that is
more than a line), and files whose reader was ended by the system (LMDB's, in a process of its own).
``--keep`` takes those that failed; the same ``--seed`` makes the same files.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType

from benchmarks.fuzz.mutations import SENTINEL
from benchmarks.fuzz.targets import ChildDiedError, Readers, RefusedError, Target
from benchmarks.fuzz.whole import Whole
from mu.errors import LONGEST_LINE, UserError

OUTCOMES = ("refused", "accepted", "executed", "traceback", "died")
SECONDS = 60  # that a reader may take
MEMORY = 6 * 2**30  # bytes that it may take beyond what there is


def outcome(target: Target, content: bytes) -> tuple[str, str]:
    """What came of one file, and why."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    found, why = "accepted", ""
    try:
        target.read(content)
    except UserError as error:
        found = "refused" if _is_a_line(str(error)) else "traceback"
        why = str(error)
    except RefusedError:
        found = "refused"
    except ChildDiedError as error:
        found, why = "died", str(error)
    except Exception:
        found, why = "traceback", traceback.format_exc()
    finally:
        signal.alarm(0)
    if [name for name in sys.modules if name.startswith(SENTINEL)]:
        found, why = "executed", traceback.format_exc()
        for name in [name for name in sys.modules if name.startswith(SENTINEL)]:
            del sys.modules[name]
    return found, why


def _is_a_line(text: str) -> bool:
    return 0 < len(text) <= LONGEST_LINE and text.isprintable()


def _too_long(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"no answer in {SECONDS} s")


def main() -> None:
    """Make the files, read them, and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one reader")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mu-fuzz-") as scratch:
        sys.path.insert(0, scratch)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        targets = Readers(Whole(Path(scratch))).targets()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
        for name, target in targets.items():
            found = outcome(target, target.seeds[0])
            if found[0] != "accepted":
                sys.exit(f"{name}: the whole file is {': '.join(found)}")
        targets = {options.only: targets[options.only]} if options.only else targets
        counts: dict[str, Counter[str]] = {name: Counter() for name in targets}
        draws = Random(options.seed)
        weights = [one.weight for one in targets.values()]
        for number in range(options.count):
            name = draws.choices(list(targets), weights)[0]
            # Each file has a generator of its own, so that one can be made again alone.
            own = Random(f"{options.seed} {number}")
            content = targets[name].change(own.choice(targets[name].seeds), own)
            found, why = outcome(targets[name], content)
            counts[name][found] += 1
            if found in OUTCOMES[2:]:
                _report(name, number, found, why, content, options.keep)
    _print(counts, time.monotonic() - start)
    bad = sum(count[one] for count in counts.values() for one in ("executed", "traceback"))
    sys.exit(1 if bad else 0)


def _report(
    name: str, number: int, found: str, why: str, content: bytes, keep: Path | None
) -> None:
    print(f"{name} {number}: {found}\n{why[-1500:]}", file=sys.stderr, flush=True)
    if keep is not None:
        (keep / name).mkdir(parents=True, exist_ok=True)
        (keep / name / f"{number:06}").write_bytes(content)


def _print(counts: dict[str, Counter[str]], seconds: float) -> None:
    print("| reader | files | " + " | ".join(OUTCOMES) + " |")
    print("|---" + "|---:" * (len(OUTCOMES) + 1) + "|")
    for name, count in [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]:
        cells = [f"{count[one]:,}" for one in OUTCOMES]
        print(f"| {name} | {sum(count.values()):,} | " + " | ".join(cells) + " |")
    print(f"\n{seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
