"""Rows of controls: what doing nothing, and hiding one output, would have in the same table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mu.evaluation.controls import CONTROLS, LOGIT_MASK, NOTHING
from mu.evaluation.gap import GAP_METRICS
from mu.report.alarms import with_ending
from mu.report.comparison.oracles import problem_of
from mu.run_record import RunRecord
from mu.tags import ORACLE

ENDINGS = {NOTHING: "_before", LOGIT_MASK: f"_{LOGIT_MASK}"}  # of their numbers in other runs
APART = "#"  # between the run that a control's numbers are of, and its name


def controls_of(runs: Sequence[RunRecord]) -> Iterator[RunRecord]:
    """A record of each control for each problem, from the numbers that other runs have of it.

    None where such a run was made, or runs have no such numbers.
    """
    there = {(run.method, problem_of(run)) for run in runs if run.method in CONTROLS}
    for run in sorted(runs, key=lambda one: (one.oracle_run_id is None, one.age)):
        for method, ending in ENDINGS.items():
            found = with_ending(ending, run.metrics)
            if method == NOTHING and "depth" in run.metrics:
                found["depth"] = 0.0  # nothing was forgotten: no step is needed to bring it back
            key = (method, problem_of(run))
            if key not in there and all(name in found for name in GAP_METRICS):
                there.add(key)
                yield _record(run, method, {**found, "RTE": 0.0})


def _record(run: RunRecord, method: str, metrics: Mapping[str, float]) -> RunRecord:
    """As if the control had been run on the original of ``run``; no run was made."""
    same = ("original", "forget", "sparsity", "original_mask")
    seeds = run.seeds._replace(unlearning=0)
    return replace(
        run,
        run_id=f"{run.run_id}{APART}{method}",
        name=method,
        metrics=metrics,
        # One whose gap was not logged, as by earlier versions, is compared anew.
        tags={n: v for n, v in run.tags.items() if n != ORACLE or "gap" in metrics},
        known={name: getattr(run, name) for name in same}
        | {"method": method, "settings": {}, "seeds": seeds},
    )


def real_id(run_id: str) -> str:
    """The run whose numbers they are."""
    return run_id.partition(APART)[0]
