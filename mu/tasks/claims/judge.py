"""Whether a claim holds: a margin for each original, positive where it does, and their mean.

The runs of an original, whatever the class, the forget set and the seed of unlearning, are averaged
first, so that the interval is over originals. Where some runs are not there, a claim is judged by
the pairs of original and forget set of which all are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mu.errors import UserError
from mu.evaluation.statistics import summarise
from mu.methods import ORACLE_METHOD
from mu.tasks.claims.document import Claim, Where
from mu.tasks.sweep.grid import ALL

Values = NDArray[np.float64]
PASS, FAIL, NOT_RUN = "PASS", "FAIL", "NOT RUN"


@dataclass(frozen=True)
class Measured:
    """A run that a grid plans."""

    settings: Where  # of the original, and method, preset, forget
    metrics: Mapping[str, float] | None  # None: it has not been run

    def is_of(self, where: Where) -> bool:
        """Whether it has all these settings; of ``forget`` the beginning is enough."""
        for name, value in where.items():
            found = _text(self.settings.get(name))
            if not (found.startswith(str(value)) if name == "forget" else found == _text(value)):
                return False
        return True


def _text(value: Any) -> str:
    """A setting as it is compared: numbers by value, and what is not set as ``none``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class Verdict:
    """What came of a claim, with one choice of the method's settings."""

    claim: Claim
    preset: str  # none: mu's defaults
    word: str  # PASS, FAIL or NOT RUN
    found: str = ""  # the numbers that decide
    margin: float | None = None  # in units of the metric, or of the ratio's logarithm
    low: float | None = None  # ends of its 95 % interval over originals
    high: float | None = None
    originals: int = 0
    pairs: tuple[int, int] = (0, 0)  # of original and forget set: whole ones, of how many

    @property
    def is_certain(self) -> bool:
        """Whether all runs are there and the interval holds no zero.

        Then other originals would hardly turn it.
        """
        if self.low is None or self.high is None or self.pairs[0] < self.pairs[1]:
            return False
        return self.low * self.high > 0


class _NotRunError(Exception):
    """Runs that are needed are not there."""


@dataclass(frozen=True)
class Cells:
    """The runs of a grid, from which a claim takes what it is about."""

    runs: Sequence[Measured]
    claim: Claim
    preset: str

    def values(self, metric: str | None = None, **where: Any) -> Values:
        """A value for each original: the mean over its runs, in the order of the seeds."""
        wanted = {**self.claim.where, **where}
        if "preset" not in wanted and wanted.get("method") == self.claim.where.get("method"):
            wanted["preset"] = self.preset
        chosen = [one for one in self.runs if one.is_of(wanted)]
        name = metric or self.claim.metric
        if not chosen:
            words = " ".join(f"{key}={value}" for key, value in wanted.items())
            raise UserError(f"{self.claim.claim!r}: {self.claim.grid} has no run with {words}")
        if any(one.metrics is None or name not in one.metrics for one in chosen):
            raise _NotRunError
        of_seed: dict[str, list[float]] = {}
        for one in chosen:
            assert one.metrics is not None
            of_seed.setdefault(_text(one.settings.get("seed")), []).append(one.metrics[name])
        return np.array([np.mean(of_seed[seed]) for seed in sorted(of_seed)])


def judge(claim: Claim, runs: Sequence[Measured]) -> Iterator[Verdict]:
    """The verdict by each preset that the grid has of the claim's method, mu's defaults first.

    A claim of ``method: all`` is one of each method that has such runs.
    """
    if claim.where.get("method") == ALL:
        others = {name: value for name, value in claim.where.items() if name != "method"}
        found = {str(one.settings["method"]) for one in runs if one.is_of(others)}
        for name in sorted(found - {ORACLE_METHOD}):
            where = {**others, "method": name}
            yield from judge(replace(claim, claim=f"{claim.claim}: {name}", where=where), runs)
        return
    about = {name: value for name, value in claim.where.items() if name != "preset"}
    presets = {_text(one.settings.get("preset")) for one in runs if one.is_of(about)}
    if "preset" in claim.where:
        presets = {_text(claim.where["preset"])}
    for preset in sorted(presets, key=lambda one: (one != "none", one)) or ["none"]:
        yield _verdict(claim, Cells(runs, claim, preset))


def _verdict(claim: Claim, cells: Cells) -> Verdict:
    name, how = claim.test
    whole, pairs = _whole(cells)
    if not whole:
        return Verdict(claim, cells.preset, NOT_RUN, pairs=pairs)
    margins, found = TESTS[name](replace(cells, runs=whole), **how)
    summary = summarise(list(margins))
    word = PASS if summary.mean >= 0 else FAIL
    numbers = summary.mean, summary.low, summary.high, summary.count
    return Verdict(claim, cells.preset, word, found, *numbers, pairs)


def _whole(cells: Cells) -> tuple[list[Measured], tuple[int, int]]:
    """The runs of pairs of original and forget set of which all that the claim needs are there.

    And how many such pairs there are, of how many; UserError if the grid plans none.
    """
    claim, (name, how) = cells.claim, cells.claim.test
    of_pair: dict[tuple[str, str], list[Measured]] = {}
    for one in cells.runs:
        pair = _text(one.settings.get("seed")), _text(one.settings.get("forget"))
        of_pair.setdefault(pair, []).append(one)
    found: list[Measured] = []
    whole, planned, unplanned = 0, 0, None
    for own in of_pair.values():
        try:
            TESTS[name](replace(cells, runs=own), **how)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{claim.claim!r}: {name} does not go with {dict(how)}: {error}"
            ) from error
        except _NotRunError:
            planned += 1
        except UserError as error:  # the claim is of other forget sets
            unplanned = error
        else:
            planned, whole = planned + 1, whole + 1
            found += own
    if not planned:
        raise unplanned or UserError(f"{claim.claim!r}: {claim.grid} plans no runs")
    return found, (whole, planned)


def falls(cells: Cells, *, tolerance: float = 0.0, **over: Sequence[Any]) -> tuple[Values, str]:
    """The metric falls over the values of one setting; from one to the next it rises no more
    than ``tolerance``.
    """
    ((name, values),) = over.items()
    each = [cells.values(**{name: value}) for value in values]
    steps = [before - after + tolerance for before, after in pairwise(each)]
    whole = each[0] - each[-1]
    margin = np.minimum(whole, np.min(steps, axis=0)) if len(steps) > 1 else whole + tolerance
    return margin, " to ".join(f"{one.mean():.2f}" for one in each)


def at_most(cells: Cells, *, value: float, tolerance: float = 0.0) -> tuple[Values, str]:
    """The metric is no larger than was published."""
    found = cells.values()
    return value + tolerance - found, f"{found.mean():.2f}"


def exceeds(
    cells: Cells, *, other: Where, by: float = 0.0, tolerance: float = 0.0
) -> tuple[Values, str]:
    """The metric is larger than elsewhere."""
    ours, theirs = cells.values(), cells.values(**other)
    return ours - theirs - by + tolerance, f"{ours.mean():.2f} and {theirs.mean():.2f}"


def within(cells: Cells, *, other: Where, tolerance: float) -> tuple[Values, str]:
    """The metric is nearly what it is elsewhere."""
    ours, theirs = cells.values(), cells.values(**other)
    return tolerance - np.abs(ours - theirs), f"{ours.mean():.2f} and {theirs.mean():.2f}"


def ratio(cells: Cells, *, other: Where, value: float, factor: float) -> tuple[Values, str]:
    """The metric is ``value`` times what it is elsewhere, up to a factor."""
    ours, theirs = cells.values(), cells.values(**other)
    off = np.abs(np.log(ours / theirs) - math.log(value))
    return math.log(factor) - off, f"{(ours / theirs).mean():.2f}"


def agrees(
    cells: Cells, *, largest: str, tolerance: float = 0.0, **over: Sequence[Any]
) -> tuple[Values, str]:
    """Of the values of one setting, that with the smallest metric has the largest other one."""
    ((name, values),) = over.items()
    metric = {value: cells.values(**{name: value}) for value in values}
    other = {value: cells.values(largest, **{name: value}) for value in values}
    first = min(values, key=lambda one: metric[one].mean())
    best = np.max([one.mean() for one in other.values()])
    words = ", ".join(f"{v}: {metric[v].mean():.2f}, {other[v].mean():.2f}" for v in values)
    return other[first] - best + tolerance, words


TESTS: Mapping[str, Callable[..., tuple[Values, str]]] = {
    one.__name__: one for one in (falls, at_most, exceeds, within, ratio, agrees)
}
