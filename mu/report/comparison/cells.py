"""One number of a table: the mean over runs, its spread, and its distance to the oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mu.evaluation.catalogue import HIGHER, LOWER, ORACLE, metric
from mu.evaluation.statistics import summarise
from mu.report.comparison.oracles import distance, gap_to
from mu.report.comparison.records import SeedRun


@dataclass(frozen=True)
class Value:
    """What one run gives.

    Parameters
    ----------
    distance
        To its oracle, where it has one and the metric is one that the oracle sets.
    """

    run: SeedRun
    value: float
    distance: float | None = None


@dataclass(frozen=True)
class Cell:
    """A number with all that it comes from.

    Parameters
    ----------
    sd
        Sample standard deviation over the runs; None of a single run.
    low, high
        Ends of the 95 % interval: over seeds (Student's t), or of a single run the one that was
        logged with it, over samples. None where there is none.
    distance
        Mean distance to the runs' oracles; None where there is none, and of the oracle itself.
    best
        Whether no method is better, in this block.
    """

    metric: str
    values: tuple[Value, ...]
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    distance: float | None
    best: bool = False

    @property
    def over_seeds(self) -> bool:
        """Whether the interval is over seeds, and not over samples."""
        return len(self.values) > 1


def make_cell(
    name: str, runs: Sequence[SeedRun], oracles: Mapping[str, SeedRun], *, judge: bool
) -> Cell | None:
    """The cell of a metric; None where no run has a finite value.

    Parameters
    ----------
    oracles
        Oracle of each run, by run ID.
    judge
        Whether the row is the oracle's own, which has no distance to itself.
    """
    values = []
    for run in runs:
        value = _value_of(name, run, oracles)
        if value is None or not math.isfinite(value):
            continue
        apart = None
        if not judge and metric(name).better == ORACLE:
            apart = distance(run, name, oracles.get(run.run_id))
        values.append(Value(run, value, apart if apart is None or math.isfinite(apart) else None))
    if not values:
        return None
    summary = summarise([one.value for one in values])
    low, high = summary.low, summary.high
    if len(values) == 1:
        low, high = (values[0].run.metrics.get(f"{name}_{end}") for end in ("lo", "hi"))
    known = [one.distance for one in values if one.distance is not None]
    apart = math.fsum(known) / len(known) if known else None
    return Cell(name, tuple(values), summary.mean, summary.sd, low, high, apart)


def _value_of(name: str, run: SeedRun, oracles: Mapping[str, SeedRun]) -> float | None:
    if name == "gap":
        return None if run.is_oracle else gap_to(run, oracles.get(run.run_id))
    return run.metrics.get(name)


def mark_best(cells: Sequence[Cell | None]) -> list[Cell | None]:
    """Mark the best of the methods' cells of one metric and block, all of them where some tie.

    What looks the same in the table is the same. Nothing is marked where there is no other method
    to be better than, and where neither direction is better.
    """
    scores = [None if cell is None else _score(cell) for cell in cells]
    known = [score for score in scores if score is not None]
    if len(known) < 2:
        return list(cells)
    first = min(known)
    return [
        cell if cell is None else replace(cell, best=score is not None and score == first)
        for cell, score in zip(cells, scores, strict=True)
    ]


def _score(cell: Cell) -> float | None:
    """The lower, the better; None where that cannot be said."""
    better, digits = metric(cell.metric).better, digits_of(cell.metric)
    if better == ORACLE:
        return None if cell.distance is None else round(cell.distance, digits)
    shown = round(cell.mean, digits)
    if better == LOWER:
        return shown
    return -shown if better == HIGHER else None


def digits_of(name: str) -> int:
    """Digits after the point that a table shows of a metric."""
    return {"0-1": 3, "steps": 0, "images": 0}.get(metric(name).unit, 2)
