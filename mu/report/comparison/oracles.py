"""Which oracle each run is held against: the one it points to, or another of the same original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from mu.evaluation.gap import GAP_METRICS, gaps
from mu.report.comparison.records import ORACLE_TAG, UPSTREAM, SeedRun, canonical_items

Cell = tuple[Any, ...]


def cell_of(run: SeedRun) -> Cell:
    """Everything but the unlearning seed that an oracle of ``run`` depends on.

    It says what the oracle's fingerprint says, by what is known without loading any data.
    """
    return (
        canonical_items(run.original),
        run.forget,
        run.tags.get("mu.forget"),
        run.seeds.split,
        run.seeds.training,
        run.original_mask,
    )


def link(runs: Sequence[SeedRun]) -> dict[str, SeedRun]:
    """The oracle of each run that has one among ``runs``, by run ID; oracles have none.

    A run that points to no oracle gets the newest of the usual kind (mask from upstream) that was
    made for the same original, split and forget set.
    """
    by_id = {run.run_id: run for run in runs if run.is_oracle}
    by_cell: dict[Cell, SeedRun] = {}
    for oracle in sorted(by_id.values(), key=lambda run: run.age):
        if mask_from(oracle) == UPSTREAM:
            by_cell[cell_of(oracle)] = oracle
    found = {}
    for run in runs:
        named = run.oracle_run_id
        chosen = by_cell.get(cell_of(run)) if named is None else by_id.get(named)
        if chosen is not None and not run.is_oracle:
            found[run.run_id] = chosen
    return found


def without_misjudged(runs: Sequence[SeedRun]) -> tuple[list[SeedRun], list[SeedRun]]:
    """The runs, without what some say of an oracle that is not theirs, and these runs.

    An oracle of another original, split or forget set says nothing of a run.
    """
    by_id = {run.run_id: run for run in runs if run.is_oracle}
    found, misjudged = [], []
    for run in runs:
        judge = by_id.get(run.oracle_run_id or "")
        if judge is None or run.is_oracle or _judges(judge, run):
            found.append(run)
            continue
        misjudged.append(run)
        tags = {name: value for name, value in run.tags.items() if name != ORACLE_TAG}
        own = {n: value for n, value in run.metrics.items() if not n.startswith("gap")}
        found.append(replace(run, tags=tags, metrics=own))
    return found, misjudged


def _judges(oracle: SeedRun, run: SeedRun) -> bool:
    """Whether an oracle is one of this run; the clean oracle has a mask of its own."""
    ours, theirs = cell_of(run), cell_of(oracle)
    same_mask = ours[-1] == theirs[-1] or mask_from(oracle) != UPSTREAM
    return ours[:-1] == theirs[:-1] and same_mask


def mask_from(oracle: SeedRun) -> str:
    """Where the mask of an oracle comes from: ``upstream``, or ``retain``, the clean oracle."""
    return str(oracle.settings.get("mask_from", UPSTREAM))


def distance(run: SeedRun, metric: str, oracle: SeedRun | None) -> float | None:
    """How far a number is from the oracle's, in its own unit; None where that is not known."""
    if oracle is not None and metric in run.metrics and metric in oracle.metrics:
        return abs(run.metrics[metric] - oracle.metrics[metric])
    if run.oracle_run_id is not None:  # an oracle that was deleted since
        return run.metrics.get(f"gap_{metric}")
    return None


def gap_to(run: SeedRun, oracle: SeedRun | None) -> float | None:
    """The run's gap as it was logged, or to an oracle that it does not point to yet."""
    if run.oracle_run_id is not None:
        return run.metrics.get("gap")
    if oracle is None or not all(n in one.metrics for n in GAP_METRICS for one in (run, oracle)):
        return None
    return gaps(run.metrics, oracle.metrics)["gap"]


def floor_of(oracles: Iterable[SeedRun]) -> float | None:
    """Mean gap between oracles that differ in nothing but their own seed; None without a pair.

    A method cannot be asked to come nearer to an oracle than oracles are to each other.
    """
    by_cell: dict[Cell, list[Mapping[str, float]]] = {}
    for one in oracles:
        if all(name in one.metrics for name in GAP_METRICS):
            by_cell.setdefault((cell_of(one), mask_from(one)), []).append(one.metrics)
    pairs = [pair for same in by_cell.values() for pair in combinations(same, 2)]
    if not pairs:
        return None
    return sum(gaps(one, other)["gap"] for one, other in pairs) / len(pairs)
