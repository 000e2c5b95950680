"""The membership attacks of one evaluation, against scikit-learn's classifier on all rows.

    python -m benchmarks.attacks                 the paper's size, about 4 minutes
    python -m benchmarks.attacks --samples 2000  a few seconds

Outputs are made up, but shaped like those of a network that fits its training data: sure of members
and right, less so of others. For each of the five scores: the rate and the seconds of CPU (fit and
prediction) the plain way and by mu. Then a whole default evaluation on outputs that are there
already (efficacy and privacy of six attacks, AUC with intervals), and how its time grows with the
number of samples.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.svm import SVC

from mu.evaluation.attacks.svc import COST, ScoreAttack, Scores
from mu.evaluation.membership import SCORES, membership
from mu.evaluation.outputs import Outputs, SplitOutputs

CLASSES = 10
FASTER, OFF = 30, 0.1  # goals: times as fast, at least; points apart, at most


def outputs(count: int, mean: float, spread: float, seed: int) -> Outputs:
    """Logits whose true class stands out by ``mean``, give or take ``spread``."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=draws)
    logits = 1.5 * torch.randn(count, CLASSES, generator=draws, dtype=torch.float64)
    ahead = mean + spread * torch.randn(count, generator=draws, dtype=torch.float64)
    logits[torch.arange(count), labels] += ahead
    return Outputs(logits, labels)


def plain(members: Scores, non_members: Scores, forgotten: Scores) -> float:
    """Share called non-members, in percent: every row, by scikit-learn."""
    one, other, queries = (
        part.reshape(len(part), -1) for part in (members, non_members, forgotten)
    )
    svc = SVC(C=COST, gamma="auto", kernel="rbf")
    svc.fit(np.concatenate([one, other]), np.repeat([1, 0], [len(one), len(other)]))
    return 100.0 * float((svc.predict(queries) == 0).mean())


def fast(members: Scores, non_members: Scores, forgotten: Scores) -> float:
    """The same, by mu."""
    return 100.0 * float(1 - ScoreAttack(members, non_members).is_member(forgotten).mean())


def timed(work: Callable[[], float], rounds: int) -> tuple[float, float]:
    """What comes out, and the median of the seconds of CPU that it took."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return found, statistics.median(seconds)


def compare(name: str, parts: tuple[Scores, Scores, Scores], rounds: int) -> None:
    """Print a row."""
    expected, slow = timed(lambda: plain(*parts), rounds)
    found, quick = timed(lambda: fast(*parts), max(rounds, 3))
    print(
        f"| {name} | {expected:.2f} | {abs(found - expected):.2f} | {slow:.2f} | {quick:.3f} | "
        f"{slow / quick:.0f} |",
        flush=True,
    )


def evaluation(samples: int, forgotten: int) -> Callable[[], float]:
    """A whole default evaluation; gives the MIA."""
    split = SplitOutputs(
        forget=outputs(forgotten, 6, 4, 2),
        retain=outputs(4 * samples, 9, 2.5, 0),
        test=outputs(samples, 5, 4.5, 1),
        test_forgotten=None,
    )
    return lambda: membership(split, seed=0)["MIA"]


def main() -> None:
    """Print the table, then whole evaluations of growing size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=9000, help="members, and non-members")
    parser.add_argument("--forgotten", type=int, default=4500)
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    parts = (
        outputs(options.samples, 9, 2.5, options.seed),
        outputs(options.samples, 5, 4.5, options.seed + 1),
        outputs(options.forgotten, 6, 4, options.seed + 2),
    )
    print(f"{options.samples} + {options.samples} samples, {options.forgotten} forgotten.")
    print(f"Goals: at most {OFF} points off, at least {FASTER} times as fast\n")
    print("| score | rate, % | off by, points | plain, s | mu, s | plain / mu |")
    print("|---" + "|---:" * 5 + "|")
    for name, score in SCORES.items():
        members, non_members, forgotten = (np.asarray(score(one).numpy()) for one in parts)
        compare(name, (members, non_members, forgotten), options.rounds)
    print("\n| samples of each kind | a whole evaluation, s | growth, power of the size |")
    print("|---:|---:|---:|")
    before: tuple[int, float] | None = None
    for factor in (1, 2, 4, 8):
        size = options.samples * factor // 4
        _, seconds = timed(evaluation(size, size // 2), max(options.rounds, 3))
        power = math.log(seconds / before[1]) / math.log(size / before[0]) if before else math.nan
        print(
            f"| {size} | {seconds:.2f} | {power:.2f} |"
            if before
            else f"| {size} | {seconds:.2f} | |"
        )
        before = size, seconds


if __name__ == "__main__":
    main()
