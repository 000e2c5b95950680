"""What measuring the depth of forgetting costs, relative to the unlearning that it is measured of.

    python -m benchmarks.depth_cost                     digits, the main job: about two minutes
    python -m benchmarks.depth_cost --forget random:10%

In one process, in turn: l1_sparse unlearns, and its depth is measured as ``unlearn`` does it, with
the oracle's own numbers known from the oracle's run; and once more with all to be measured. Medians
of the repeats, and the median of the ratios. Then the parts. Works without MLflow; prints Markdown.
Times of other programs on the same cores are in both terms of a ratio; one thread is the least
disturbed: ``OMP_NUM_THREADS=1``.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import mu
from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.evaluation.case import Case, Model
from mu.evaluation.depth.cka import linear_cka
from mu.evaluation.depth.head import rows_of, with_rows_anew
from mu.evaluation.depth.measure import OF_ORACLE, depth
from mu.evaluation.depth.probe import probe_accuracy
from mu.evaluation.depth.prototype import prototype_accuracy
from mu.evaluation.depth.relearn import Relearning
from mu.evaluation.depth.samples import Features, Samples
from mu.evaluation.unlearning import predict_split
from mu.methods import make_method

GOAL = 0.25  # of the unlearning's time, at most


def main() -> None:
    """Make the original and its oracle, then print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--forget", default="class:3")
    parser.add_argument("--rate", type=float, default=0.95)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    data = mu.load_data("digits")
    recipe = mu.make_recipe(data, rate=options.rate)
    original = mu.train_original(data, recipe, mu.Run(show_progress=False))
    split = mu.forget_split(original, data, options.forget)
    before = model_of(original, split)
    oracle, _ = unlearned(original, split, "retrain")
    alone = depth(Case(oracle, split, mu.Run(), 0, before))
    known = {name: alone[name] for name in OF_ORACLE if name in alone}
    times: dict[str, list[float]] = {"l1_sparse": [], "depth": [], "depth, nothing known": []}
    for _ in range(options.repeats):
        model, seconds = unlearned(original, split, "l1_sparse")
        case = Case(model, split, mu.Run(), 0, before, oracle)
        times["l1_sparse"].append(seconds)
        times["depth"].append(timed(partial(depth, case, known)))
        times["depth, nothing known"].append(timed(partial(depth, case)))
    print(f"digits, {options.forget}; goal: at most {GOAL} of the time of l1_sparse\n")
    print_table(times)
    found = depth(case, known)
    print(", ".join(f"{name} {value:.3g}" for name, value in found.items()) + "\n")
    print_parts(case, options.repeats)


def unlearned(original: mu.Checkpoint, split: ForgetSplit, name: str) -> tuple[Model, float]:
    """A copy that has unlearned, and the seconds that this took."""
    checkpoint, run = copy.deepcopy(original), mu.Run(show_progress=False)
    with run.stopwatch() as seconds:
        make_method(name, {}).unlearn(checkpoint, split, run)
    return model_of(checkpoint, split), seconds[0]


def model_of(checkpoint: mu.Checkpoint, split: ForgetSplit) -> Model:
    """A network and its outputs."""
    return Model(checkpoint, predict_split(checkpoint.model, split, mu.Run(show_progress=False)))


def timed(work: Callable[[], object]) -> float:
    """Seconds of the wall clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_table(times: Mapping[str, Sequence[float]]) -> None:
    """Medians, and the median of the ratios to the unlearning of the same repeat."""
    print("| work | s | share of l1_sparse |")
    print("|---|---:|---:|")
    for name, seconds in times.items():
        ratios = [one / whole for one, whole in zip(seconds, times["l1_sparse"], strict=True)]
        median = statistics.median(seconds), statistics.median(ratios)
        print(f"| {name} | {median[0]:.3f} | {median[1]:.3f} |", flush=True)
    print()


def print_parts(case: Case, repeats: int) -> None:
    """Seconds of each part alone, and its share of them all; the oracle's relearning apart."""
    assert case.original is not None
    assert case.oracle is not None
    models = {"model": case.model, "oracle": case.oracle, "original": case.original}
    samples = Samples.of(case.split, case.run)
    seen = {n: Features.of(m.checkpoint.model, samples, case.run) for n, m in models.items()}
    parts: dict[str, Callable[[], object]] = {
        "relearning of the model": partial(relearned, case, case.model.checkpoint),
        "relearning of the hidden output": partial(hidden, case),
        **{
            f"features of the {name}": partial(Features.of, m.checkpoint.model, samples, case.run)
            for name, m in models.items()
        },
        "prototype": partial(brought_back, case.model, seen["model"], samples),
        "probe": partial(probe_accuracy, seen["model"], samples),
        "CKA": partial(linear_cka, seen["model"].both(), seen["oracle"].both()),
    }
    seconds = {n: statistics.median(timed(p) for _ in range(repeats)) for n, p in parts.items()}
    print("| part | ms | share |")
    print("|---|---:|---:|")
    for name, value in seconds.items():
        print(f"| {name} | {1e3 * value:.1f} | {100 * value / sum(seconds.values()):.0f} % |")
    apart = statistics.median(
        timed(partial(relearned, case, case.oracle.checkpoint)) for _ in range(repeats)
    )
    print(f"\nRelearning of the oracle, once: {1e3 * apart:.1f} ms")


def brought_back(one: Model, features: Features, samples: Samples) -> float:
    """The accuracy that prototypes bring back."""
    head = rows_of(one.checkpoint)
    return float("nan") if head is None else prototype_accuracy(head, features, samples)


def hidden(case: Case) -> int | None:
    """The steps in which a hidden output comes back; None where no class goes as a whole."""
    assert case.original is not None
    masked = with_rows_anew(case.original.checkpoint, case.split.forgotten_classes)
    how = Relearning.of(case.original, case.split, case.run)
    return None if masked is None else how.steps(masked)


def relearned(case: Case, one: Checkpoint) -> int | None:
    """The steps of a model."""
    assert case.original is not None
    return Relearning.of(case.original, case.split, case.run).quickest(one)


if __name__ == "__main__":
    main()
