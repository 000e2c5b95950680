"""What must be known before a table is trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from mu.report.comparison.oracles import cell_of, mask_from
from mu.report.comparison.records import SeedRun

FITTED = 97.0  # % of the retain set that an original must get right for forgetting to be hard
SHOWN = 3  # run IDs in a note


def notes_of(
    runs: Sequence[SeedRun],
    repeats: Sequence[SeedRun],
    oracles: Mapping[str, SeedRun],
    misjudged: Set[str] = frozenset(),
) -> list[str]:
    """Cautions of one table, the gravest first.

    Parameters
    ----------
    runs, repeats
        Those behind its numbers, and those left out since they repeat one of them.
    oracles
        Oracle of each run, by run ID.
    misjudged
        IDs of runs that point to an oracle that is not theirs.
    """
    methods = [run for run in runs if not run.is_oracle]
    notes = [
        *_without_oracle(methods, oracles),
        *_misjudged([run for run in methods if run.run_id in misjudged]),
        *_under_fitted(runs),
        *_unequal_oracles(methods, oracles),
        *_few_seeds(methods),
        *_other_seeds(methods),
        *_no_numbers(runs),
    ]
    if repeats:
        notes.append(
            f"left out as repetitions of the same seeds: {_listed(repeats)}; the newest counts"
        )
    if len({run.tags.get("mu.commit") for run in runs}) > 1:
        notes.append("the runs were made by different commits of mu")
    if any(run.tags.get("mu.dirty") == "true" for run in runs):
        notes.append("some runs were made by a working tree with changes that are in no commit")
    return notes


def _without_oracle(methods: Sequence[SeedRun], oracles: Mapping[str, SeedRun]) -> list[str]:
    lacking = [run for run in methods if run.run_id not in oracles and run.oracle_run_id is None]
    gone = [run for run in methods if run.run_id not in oracles and run.oracle_run_id is not None]
    notes = []
    if lacking:
        first = lacking[0]
        original = first.tags.get("mu.upstream", "ID")
        what = first.forget if " " not in first.forget else "indices:FILE"
        notes.append(
            f"no oracle, so no gap: {_listed(lacking)}; make one and compare again: mlflow run . "
            f"-e unlearn -P method=retrain -P prune_run_id={original} -P forget={what}"
        )
    if gone:
        notes.append(
            "the oracle that they were measured against cannot be read any more, so their gaps "
            f"are as logged: {_listed(gone)}"
        )
    return notes


def _misjudged(methods: Sequence[SeedRun]) -> list[str]:
    if not methods:
        return []
    return [
        "measured against an oracle of another original, split or forget set, so what was logged "
        f"of it is left out: {_listed(methods)}"
    ]


def _under_fitted(runs: Sequence[SeedRun]) -> list[str]:
    known = [run.metrics["RA_before"] for run in runs if "RA_before" in run.metrics]
    if not known or min(known) >= FITTED:
        return []
    return [
        f"originals do not fit their training data (RA down to {min(known):.1f} %, below "
        f"{FITTED:g} %): an under-fitted original forgets by itself, so small gaps say little"
    ]


def _unequal_oracles(methods: Sequence[SeedRun], oracles: Mapping[str, SeedRun]) -> list[str]:
    by_cell: dict[object, set[str]] = {}
    for run in methods:
        if run.run_id in oracles:
            oracle = oracles[run.run_id]
            by_cell.setdefault((cell_of(run), mask_from(oracle)), set()).add(oracle.run_id)
    if any(len(found) > 1 for found in by_cell.values()):
        return [
            "runs of the same original are held against different oracles, so part of the "
            "differences may be the oracles'; evaluate them against one"
        ]
    return []


def _few_seeds(methods: Sequence[SeedRun]) -> list[str]:
    seeds = {run.seeds for run in methods}
    if len(seeds) == 1:
        return ["one seed only: nothing says how far another one would be"]
    for place, name in ((1, "training"), (2, "unlearning")):
        values = {one[place] for one in seeds}
        if len(values) == 1 and len(seeds) > 1:
            return [
                f"all runs share the {name} seed {values.pop()}, whose own chance is in no "
                "deviation"
            ]
    return []


def _other_seeds(methods: Sequence[SeedRun]) -> list[str]:
    by_method: dict[object, set[object]] = {}
    for run in methods:
        by_method.setdefault((run.method, tuple(sorted(run.settings.items()))), set()).add(
            run.seeds
        )
    if len({frozenset(found) for found in by_method.values()}) > 1:
        return [
            "methods were run over different seeds, so part of their differences may be the seeds'"
        ]
    return []


def _no_numbers(runs: Sequence[SeedRun]) -> list[str]:
    lacking = [
        run
        for run in runs
        if any(
            not math.isfinite(run.metrics[name])
            for name in ("UA", "RA", "TA", "MIA", "gap", "RTE")
            if name in run.metrics
        )
    ]
    if not lacking:
        return []
    return [f"a value that is no number is left out of the means: {_listed(lacking)}"]


def _listed(runs: Sequence[SeedRun]) -> str:
    shown = ", ".join(f"run {run.run_id}" for run in runs[:SHOWN])
    more = len(runs) - SHOWN
    return shown + (f" and {more} more" if more > 0 else "")
