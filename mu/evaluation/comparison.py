"""A model beside its oracle on the same samples: gap with its interval, divergences, tug of war."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mu.evaluation import PARTS
from mu.evaluation.attacks.rates import LEVEL
from mu.evaluation.distance.divergence import divergences
from mu.evaluation.gap import gaps, tow
from mu.evaluation.membership import MAIN, called_members
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.unlearning import measure

RESAMPLES = 2000

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def compare(
    ours: SplitOutputs, oracle: SplitOutputs, original: SplitOutputs | None = None, *, seed: int
) -> dict[str, float]:
    """Everything that tells a model from its oracle by their outputs.

    Gives ``gap``, ``gap_UA``, ...; ``gap_lo`` and ``gap_hi``; ``gap_p``; ``agreement_…``; ``tow``;
    and ``js_…`` of the parts that have logits. With the original's outputs also ``gap_before`` and
    :func:`gain`. ``seed``: the split's: all are attacked with the same samples.
    """
    metrics, theirs = (measure(one, seed=seed) for one in (ours, oracle))
    found = {
        **gaps(metrics, theirs),
        **gap_statistics(ours, oracle, original, seed=seed),
        **divergences(ours, oracle),
        "tow": tow(metrics, theirs),
    }
    if original is not None:
        found["gap_before"] = gaps(measure(original, seed=seed), theirs)["gap"]
        found["gain"] = found["gap_before"] - found["gap"]
    return found


def gap_statistics(
    ours: SplitOutputs, oracle: SplitOutputs, original: SplitOutputs | None = None, *, seed: int
) -> dict[str, float]:
    """How far samples alone move the gap, and whether they can tell the model from its oracle.

    ``gap_lo``, ``gap_hi``
        Ends of the 95 % interval of the gap, in points, by bootstrap. Samples of each set are drawn
        again, the same ones for all models, so what they do alike cancels. It says how far the gap
        would move with other samples; what other seeds of training and unlearning do is another
        question (``mu seeds``). An absolute value is never below zero, so nor is the interval, even
        of equal models; theirs is 0 to 0.
    ``gain_lo``, ``gain_hi``
        With the original's outputs: of how much nearer to the oracle than the original the model
        is, in points. Where the interval holds 0, it is not shown to be better than doing nothing.
    ``gap_p``
        The probability (0-1) of such a gap, or a larger one, if model and oracle were equally good
        on all sets: two-sided, by the signs of their differences on each sample, drawn at random.
    """
    draws = np.random.default_rng([seed, 5])
    others = [ours] if original is None else [ours, original]
    flags = [[*_flags(one, seed)] for one in (*others, oracle)]
    resampled = [_resampled(list(part), draws) for part in zip(*flags, strict=True)]
    gap, *before = 100 * np.mean(np.abs(resampled), axis=0)
    found = dict(zip(("gap_lo", "gap_hi"), _interval(gap), strict=True))
    if before:
        found |= zip(("gain_lo", "gain_hi"), _interval(before[0] - gap), strict=True)
    return {**found, "gap_p": _chance(flags[0], flags[-1], draws)}


def _interval(values: Numbers) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _flags(outputs: SplitOutputs, seed: int) -> Iterator[Flags]:
    """What the four accuracies and rates of :func:`measure` are means of, up to a sign."""
    yield from (getattr(outputs, part).right.numpy() for part in PARTS)
    yield called_members(outputs, MAIN, seed=seed)


def _resampled(models: Sequence[Flags], draws: np.random.Generator) -> Numbers:
    """Differences of the shares of models from that of the last, 0-1: (models - 1, RESAMPLES)."""
    kinds, counts = _kinds(models)
    drawn = draws.multinomial(counts.sum(), counts / counts.sum(), size=RESAMPLES)
    return np.asarray((kinds[:-1] - kinds[-1]) @ drawn.T / counts.sum(), float)


def _chance(ours: Sequence[Flags], theirs: Sequence[Flags], draws: np.random.Generator) -> float:
    """How often differences whose signs are drawn at random make as large a gap, 0-1.

    A sample of the forget set has two, of UA and of MIA, which change their sign together.
    """
    differ = [one.astype(int) - other for one, other in zip(ours, theirs, strict=True)]
    gap, drawn = 0.0, np.zeros(RESAMPLES)
    for part in ([differ[0], differ[-1]], *([one] for one in differ[1:-1])):
        kinds, counts = _kinds(part)
        signs = 2 * draws.binomial(counts, 0.5, (RESAMPLES, len(counts))) - counts
        gap += float(np.abs(kinds @ counts).sum()) / counts.sum()
        drawn += np.abs(signs @ kinds.T).sum(1) / counts.sum()
    return float((1 + (drawn >= gap - 1e-9).sum()) / (1 + RESAMPLES))


def _kinds(rows: Sequence[NDArray[np.int_] | Flags]) -> tuple[Numbers, NDArray[np.int64]]:
    """The different columns of rows of -1, 0 and 1, and how often each occurs.

    Samples of which models say the same are one kind, and only kinds are drawn.
    """
    code = sum((row.astype(int) + 1) * 3**place for place, row in enumerate(rows))
    found, counts = np.unique(code, return_counts=True)
    return np.array([found // 3**place % 3 - 1.0 for place in range(len(rows))]), counts
