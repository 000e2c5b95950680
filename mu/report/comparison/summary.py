"""What a table says, in words."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mu.evaluation.controls import CONTROLS, LOGIT_MASK, NOTHING
from mu.report.comparison.cells import number, write
from mu.report.comparison.table import Table, verdicts
from mu.report.verdict import MEANINGS

SLIGHT = 0.5  # points of gap that are not worth calling a change
FEW = 5  # seeds below which an interval is wide


@functools.lru_cache(maxsize=32)  # it is said several times of each
def summarise_table(table: Table) -> tuple[str, ...]:
    """Paragraphs: which method is nearest to the oracle, how sure that is, what sparsity did."""
    several = len(table.originals) > 1
    paragraphs = []
    for original, floor in table.originals["floor"].items():
        start = f"On {original} originals, " if several else ""
        order = list(ranked(table, original).itertuples())
        words = " ".join(
            [
                _nearest(order),
                *_overlap(order),
                *_floor(floor, order),
                *_sources(order),
                *_judged(table, original, order),
            ]
        )
        paragraphs.append(start + words if start or order else words[0].upper() + words[1:])
    return (*paragraphs, *_of_sparsity(table))


def ranked(table: Table, original: str) -> pd.DataFrame:
    """Cells of the methods that have a gap there, the nearest to the oracle first."""
    cells = _of_methods(table)
    return cells[cells["original"] == original].sort_values("mean", kind="stable")


def best_gap(table: Table) -> float | None:
    """The smallest gap of the table, in points; None where no run has one."""
    cells = _of_methods(table)
    return None if cells.empty else float(cells["mean"].min())


def _of_methods(table: Table) -> pd.DataFrame:
    cells = table.found("gap")
    return cells[~cells["method"].isin(CONTROLS)]


def _nearest(order: Sequence[Any]) -> str:
    if not order:
        return "no run has been measured against an oracle, so nothing can be ranked."
    first = order[0]
    count = "one run" if first.runs == 1 else f"{first.runs} runs"
    count += f" of {first.originals} originals" if 1 < first.originals < first.runs else ""
    words = f"{first.row} is nearest to the oracle: gap {write(first)} points ({count}), "
    if len(order) == 1:
        return f"{words}and no other method has a gap."
    ahead = number("gap", order[1].mean - first.mean)
    level = f"level with {order[1].row}."
    return words + (level if float(ahead) == 0 else f"{ahead} ahead of {order[1].row}.")


def _overlap(order: Sequence[Any]) -> list[str]:
    """Whether the intervals of the two best tell them apart, and what intervals they are."""
    if len(order) < 2:
        return []
    first, second = order[:2]
    if any(map(math.isnan, (first.low, first.high, second.low, second.high))):
        names = f"{first.row} and {second.row}"
        return [f"Whether {names} differ cannot be said: more seeds would tell."]
    kinds = {(True, True): "over seeds",
             (False, False): "over samples (of a single run each, not over seeds)"}  # fmt: skip
    kind = kinds.get((first.runs > 1, second.runs > 1), "(one over seeds, one over samples)")
    if first.high < second.low:
        return [f"Their 95 % intervals {kind} do not overlap."]
    few = " With so few seeds they are wide: more may tell the two apart."
    words = f"Their 95 % intervals {kind} overlap, so the order may be chance."
    return [words + (few if 1 < first.runs < FEW else "")]


def _floor(floor: float, order: Sequence[Any]) -> list[str]:
    if math.isnan(floor) or not order:
        return []
    words = f"Oracles that differ in their seed alone are {number('gap', floor)} points apart"
    below = order[0].mean <= floor
    return [f"{words}, so no gap below that means anything." if below else f"{words}."]


def _sources(order: Sequence[Any]) -> list[str]:
    """How much of the gaps' spread comes from the original, and how much from unlearning."""
    texts = [
        f"{one.row} ±{number('gap', one.sd)} and ±{number('gap', one.within)}"
        for one in order
        if one.originals > 1 and not math.isnan(one.within)
    ]
    return (
        [
            "Standard deviation of the gap between originals, and between seeds of unlearning of "
            f"one: {'; '.join(texts)}."
        ]
        if texts
        else []
    )


def _judged(table: Table, original: str, order: Sequence[Any]) -> list[str]:
    """Gaps of the controls, and what each method came to."""
    if not order:
        return []
    gaps = table.found("gap").query("original == @original").set_index("method")["mean"]
    words = {NOTHING: "Doing nothing", LOGIT_MASK: "Hiding the class's output alone"}
    sentences = [
        f"{text} has a gap of {number('gap', gaps[name])}."
        for name, text in words.items()
        if name in gaps
    ]
    found = verdicts(table.runs)
    rows = {one.row: found.get((one.row, original), "") for one in order}
    for word, meaning in MEANINGS.items():
        if names := [row for row, own in rows.items() if own == word]:
            sentences.append(f"{word.capitalize()} ({meaning}): {_listed(names)}.")
    return sentences


def _of_sparsity(table: Table) -> list[str]:
    """Whether gaps are smaller on the sparsest originals than on dense ones."""
    sparsity = table.originals["sparsity"]
    if not (sparsity == 0).any() or not sparsity.max() > 0:
        return []
    dense, sparsest = (sparsity == 0).idxmax(), sparsity.idxmax()
    before, after = (ranked(table, one).set_index("row")["mean"] for one in (dense, sparsest))
    rows = [row for row in table.rows if row in before and row in after]
    change = {row: after[row] - before[row] for row in rows}
    words = {
        row: f"{row} ({number('gap', before[row])} → {number('gap', after[row])})" for row in rows
    }
    helped = [words[row] for row in rows if change[row] < -SLIGHT]
    hurt = [words[row] for row in rows if change[row] > SLIGHT]
    same = [row for row in rows if abs(change[row]) <= SLIGHT]
    end = "it" if helped else "the oracle"
    parts = [f"brought {_listed(helped)} nearer to the oracle"] if helped else []
    parts += [f"took {_listed(hurt)} further from {end}"] if hurt else []
    parts += (
        [f"changed the gap of {_listed(same)} by no more than {SLIGHT:g} points"] if same else []
    )
    return [f"By the means, sparsity ({sparsest}) {_listed(parts)}."] if parts else []


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
