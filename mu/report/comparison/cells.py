"""One number of a table: the mean over runs, its spread, its distance to the oracle; as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any

from mu.evaluation.catalogue import ORACLE, metric
from mu.evaluation.statistics import summarise
from mu.report.comparison.oracles import NAN, distance, gain_to, gap_to
from mu.report.metrics import digits_of
from mu.run_record import RunRecord

ABSENT = "-"
TO_ORACLE = {"gap": gap_to, "gain": gain_to}


def make_cell(
    name: str, runs: Sequence[RunRecord], oracles: Mapping[str, RunRecord]
) -> dict[str, Any]:
    """A metric of runs that differ in their seeds alone.

    The seed of an original (of its split or its training) moves results more than that of the
    unlearning, and runs of one original share what it does. So each original counts once, and the
    spread is over originals; of one original alone it is over the seeds of unlearning.

    ``oracles``: oracle of each run, by run ID. Gives ``mean``; ``sd``, the sample standard
    deviation; ``low`` and ``high``, the ends of the 95 % interval (Student's t), or of a single run
    the one that was logged with it, over samples; ``within``, the standard deviation over seeds
    of unlearning of one original, pooled; ``distance``, the mean distance to the runs' oracles.
    NaN where there is none. ``originals``, ``runs``, ``run_ids``, ``per_run``: how many originals
    and runs have a finite value, and which.
    """
    values: dict[str, float] = {}
    apart: list[float] = []
    for run in runs:
        oracle = oracles.get(run.run_id)
        value = TO_ORACLE[name](run, oracle) if name in TO_ORACLE else run.metrics.get(name, NAN)
        if math.isfinite(value):
            values[run.run_id] = value
            apart += [distance(run, name, oracle)] if metric(name).better == ORACLE else []
    known = [one for one in apart if math.isfinite(one)]
    cell = dict.fromkeys(("mean", "sd", "low", "high", "distance", "within"), NAN)
    of_original: dict[tuple[int, int], list[float]] = {}
    for run in runs:
        if run.run_id in values:
            key = (run.seeds.split, run.seeds.training)
            of_original.setdefault(key, []).append(values[run.run_id])
    if values:
        several = len(of_original) > 1
        summary = summarise([*map(fmean, of_original.values())] if several else [*values.values()])
        spreads = [variance(own) for own in of_original.values() if len(own) > 1]
        cell["within"] = math.sqrt(fmean(spreads)) if spreads else NAN
        cell |= {"mean": summary.mean, "distance": fmean(known) if known else NAN}
        if summary.sd is not None and summary.low is not None and summary.high is not None:
            cell |= {"sd": summary.sd, "low": summary.low, "high": summary.high}
        else:
            (run,) = (one for one in runs if one.run_id in values)
            cell |= {end: run.metrics.get(f"{name}_{end[:2]}", NAN) for end in ("low", "high")}
    return {
        "metric": name, **cell, "originals": len(of_original), "runs": len(values),
        "run_ids": tuple(values), "per_run": tuple(values.values()),
    }  # fmt: skip


def number(name: str, value: float | None) -> str:
    """A value with the digits of its metric, empty where there is none; zero has no sign."""
    if value is None or math.isnan(value):
        return ""
    text = f"{value:.{digits_of(name)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def write(
    cell: Any, best: str = "{}", spread: str = " ± {}", distance: str = "", absent: str = ABSENT
) -> str:
    """A line of a table's ``cells`` as text.

    ``best``, ``spread``, ``distance``: how the mean is written where it is the best, the
    standard deviation, and the distance to the oracle, ``{}`` in place of the number. ``absent``:
    what stands for a number that is not there.
    """
    if math.isnan(cell.mean):
        return absent
    text = (best if cell.best else "{}").format(number(cell.metric, cell.mean))
    for pattern, value in ((spread, cell.sd), (distance, cell.distance)):
        text += "" if math.isnan(value) else pattern.format(number(cell.metric, value))
    return text
