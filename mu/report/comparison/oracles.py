"""Which oracle each run is compared with: the one it points to, or another of the same problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple

from mu.alike import canonical_items
from mu.evaluation.gap import GAP_METRICS, gaps, gaps_between
from mu.report.alarms import of_original
from mu.run_record import RunRecord
from mu.tags import ORACLE

ORACLE_METHOD = "retrain"
NAN = float("nan")
USUAL = "upstream"  # where the mask of the usual oracle comes from

Problem = tuple[Any, ...]


def problem_of(run: RunRecord) -> Problem:
    """Everything but the unlearning seed that an oracle of ``run`` depends on.

    It says what the oracle's fingerprint says, by what is known without loading any data.
    """
    return (
        canonical_items(run.original),
        run.forget,
        run.forget_fingerprint,
        run.seeds.split,
        run.seeds.training,
        run.original_mask,
    )


class Linked(NamedTuple):
    """Runs with their oracles.

    ``misjudged`` runs point to an oracle of another original, split or forget set, which says
    nothing of them.
    """

    runs: list[RunRecord]  # all of them, without what some say of an oracle that is not theirs
    oracles: dict[str, RunRecord]  # of each run with one among them, by run ID; oracles have none
    misjudged: set[str]  # run IDs


def link(runs: Sequence[RunRecord]) -> Linked:
    """Find the oracle of each run.

    A run that points to none gets the newest of the usual kind (mask from upstream) that was made
    for the same original, split and forget set.
    """
    oracles = sorted((run for run in runs if run.is_oracle), key=lambda run: run.age)
    by_id = {run.run_id: run for run in oracles}
    newest = {problem_of(run): run for run in oracles if mask_from(run) == USUAL}
    found = Linked(list(oracles), {}, set())
    for run in runs:
        if run.is_oracle:
            continue
        oracle = by_id.get(run.oracle_run_id or "")
        if oracle is not None and not _judges(oracle, run):
            found.misjudged.add(run.run_id)
            tags = {name: value for name, value in run.tags.items() if name != ORACLE}
            metrics = {n: value for n, value in run.metrics.items() if not n.startswith("gap")}
            run = replace(run, tags=tags, metrics=metrics)
        found.runs.append(run)
        if run.oracle_run_id is None:
            oracle = newest.get(problem_of(run))
        if oracle is not None:
            found.oracles[run.run_id] = oracle
    return found


def _judges(oracle: RunRecord, run: RunRecord) -> bool:
    """Whether an oracle is one of this run; the clean oracle's mask is found on the retain set."""
    (*ours, our_mask), (*theirs, their_mask) = problem_of(run), problem_of(oracle)
    return ours == theirs and (our_mask == their_mask or mask_from(oracle) != USUAL)


def mask_from(oracle: RunRecord) -> str:
    """Where the mask of an oracle comes from: ``upstream``, or ``retain``, the clean oracle."""
    return str(oracle.settings.get("mask_from", USUAL))


def distance(run: RunRecord, metric: str, oracle: RunRecord | None) -> float:
    """How far a number is from the oracle's, in its unit; NaN where that is not known."""
    if oracle is not None and metric in run.metrics and metric in oracle.metrics:
        return abs(run.metrics[metric] - oracle.metrics[metric])
    if run.oracle_run_id is not None and not run.is_oracle:  # an oracle that was deleted since
        return run.metrics.get(f"gap_{metric}", NAN)
    return NAN


def gap_to(run: RunRecord, oracle: RunRecord | None) -> float:
    """The run's gap as it was logged, or to an oracle that it does not point to yet; or NaN."""
    if run.oracle_run_id is not None and not run.is_oracle:
        return run.metrics.get("gap", NAN)
    if oracle is None or not all(n in one.metrics for n in GAP_METRICS for one in (run, oracle)):
        return NAN
    return gaps(run.metrics, oracle.metrics)["gap"]


def gain_to(run: RunRecord, oracle: RunRecord | None) -> float:
    """How much nearer to the oracle than its original it is, in points; NaN if not known."""
    before = of_original(run.metrics)
    if "gain" in run.metrics or oracle is None or not set(GAP_METRICS) <= {*before}:
        return run.metrics.get("gain", NAN)
    return gaps(before, oracle.metrics)["gap"] - gap_to(run, oracle)


def floor_of(oracles: Iterable[RunRecord]) -> float:
    """Mean gap between oracles that differ in nothing but their seed; NaN without a pair.

    No method can be expected to come nearer to an oracle than oracles are to each other.
    """
    alike: dict[str | None, list[Mapping[str, float]]] = {}
    for one in oracles:
        if one.is_oracle:
            alike.setdefault(one.oracle_key, []).append(one.metrics)
    found = [gap for same in alike.values() for gap in gaps_between(same)]
    return fmean(found) if found else NAN
