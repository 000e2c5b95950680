"""What a table says, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mu.report.comparison.cells import Cell
from mu.report.comparison.table import Block, Row, Table
from mu.report.comparison.wording import number, write

SLIGHT = 0.5  # points of gap that are not worth calling a change
Ranked = list[tuple[Row, Cell]]


def summarise_table(table: Table) -> list[str]:
    """Paragraphs: which method is nearest to the oracle, how sure that is, what sparsity did."""
    paragraphs = [
        " ".join(_of_block(block, ranked(table, place), named=len(table.blocks) > 1))
        for place, block in enumerate(table.blocks)
    ]
    return [*paragraphs, *_of_sparsity(table)]


def ranked(table: Table, block: int) -> Ranked:
    """Methods with a gap in a block, the nearest to the oracle first."""
    found = [
        (row, cell)
        for row in table.methods
        if (cell := _gap_of(row, block)) is not None
    ]  # fmt: skip
    return sorted(found, key=lambda one: one[1].mean)


def best_gap(table: Table) -> float | None:
    """The smallest gap of the table, in points; None where no run has one."""
    gaps = [cell.mean for block in range(len(table.blocks)) for _, cell in ranked(table, block)]
    return min(gaps, default=None)


def _gap_of(row: Row, block: int) -> Cell | None:
    return row.cells[block].get("gap")


def _of_block(block: Block, order: Ranked, *, named: bool) -> list[str]:
    where = f"On {block.label} originals, " if named else ""
    if not order:
        words = "no run has been measured against an oracle, so nothing can be ranked"
        return [_sentence(where + words)]
    row, first = order[0]
    words = f"{row.label} is nearest to the oracle: gap {write(first).plain()} points"
    words += f" ({_count(first)})"
    if len(order) == 1:
        return [_sentence(where + words + ", and no other method has a gap"), *_floor(block, first)]
    other, second = order[1]
    ahead = number("gap", second.mean - first.mean)
    level = float(ahead) == 0
    words += f", level with {other.label}" if level else f", {ahead} ahead of {other.label}"
    return [_sentence(where + words), _overlap(row, first, other, second), *_floor(block, first)]


def _count(cell: Cell) -> str:
    count = len(cell.values)
    return "one run" if count == 1 else f"{count} runs"


def _overlap(row: Row, first: Cell, other: Row, second: Cell) -> str:
    """Whether the intervals of the two best tell them apart, and what intervals they are."""
    ends = (first.low, first.high, second.low, second.high)
    if any(end is None for end in ends):
        return (
            f"Whether {row.label} and {other.label} differ cannot be said: more seeds would tell."
        )
    assert first.high is not None
    assert second.low is not None
    if first.over_seeds and second.over_seeds:
        kind = "95 % intervals over seeds"
    elif not first.over_seeds and not second.over_seeds:
        kind = "95 % intervals over samples (of a single run each, not over seeds)"
    else:
        kind = "95 % intervals (one over seeds, one over samples)"
    if first.high < second.low:
        return f"Their {kind} do not overlap."
    few = " With so few seeds they are wide: more may tell the two apart."
    return f"Their {kind} overlap, so the order may be chance." + (
        few if first.over_seeds and len(first.values) < 5 else ""
    )


def _floor(block: Block, first: Cell) -> list[str]:
    if block.floor is None:
        return []
    apart = number("gap", block.floor)
    words = f"Oracles that differ in their seed alone are {apart} points apart"
    return [f"{words}, so no gap below that means anything." if first.mean <= block.floor
            else f"{words}."]  # fmt: skip


def _of_sparsity(table: Table) -> list[str]:
    """Whether gaps are smaller on the sparsest originals than on dense ones."""
    known = [(block.sparsity, place) for place, block in enumerate(table.blocks)
             if block.sparsity is not None]  # fmt: skip
    dense = [place for sparsity, place in known if sparsity == 0]
    if not dense or len(known) < 2:
        return []
    sparsest = max(known)[1]
    changes = []
    for row in table.methods:
        before, after = _gap_of(row, dense[0]), _gap_of(row, sparsest)
        if before is not None and after is not None:
            changes.append((row.label, before.mean, after.mean))
    if not changes:
        return []
    helped = [_change(*one) for one in changes if one[2] < one[1] - SLIGHT]
    hurt = [_change(*one) for one in changes if one[2] > one[1] + SLIGHT]
    same = [one[0] for one in changes if abs(one[2] - one[1]) <= SLIGHT]
    label = table.blocks[sparsest].label
    parts = [f"brought {_listed(helped)} nearer to the oracle"] if helped else []
    parts += [f"took {_listed(hurt)} further from it" if helped
              else f"took {_listed(hurt)} further from the oracle"] if hurt else []  # fmt: skip
    parts += (
        [f"changed the gap of {_listed(same)} by no more than {SLIGHT:g} points"] if same else []
    )
    return [f"By the means, sparsity ({label}) {_listed(parts)}."]


def _change(label: str, before: float, after: float) -> str:
    return f"{label} ({number('gap', before)} → {number('gap', after)})"


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(text: str) -> str:
    """With a full stop; capital only where it begins with our own words."""
    start = text if not text.startswith("no run") else f"N{text[1:]}"
    return f"{start}."
