"""From finished runs to tables: one for each group of runs that can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from mu.evaluation.catalogue import metric
from mu.report.comparison.cells import Cell, make_cell, mark_best
from mu.report.comparison.groups import (
    DENSE,
    Group,
    Key,
    block_key,
    differing,
    pruning_settings,
    row_key,
    row_labels,
    split_groups,
    without_repeats,
)
from mu.report.comparison.headings import heading, shared_words
from mu.report.comparison.notes import notes_of
from mu.report.comparison.oracles import floor_of, link, without_misjudged
from mu.report.comparison.records import ORACLE_METHOD, SeedRun

# The paper's order; ASR only where a backdoor was planted.
COLUMNS = ("UA", "MIA", "RA", "TA", "ASR", "gap", "RTE")
OF_ORIGINALS = ("UA", "MIA", "RA", "TA", "ASR")


@dataclass(frozen=True)
class Block:
    """A block of columns: originals that were pruned in the same way.

    Parameters
    ----------
    label
        ``dense`` or ``95 % sparse``, and more where two blocks would have the same.
    sparsity
        Of the originals, 0-100 %, None where it is not known.
    originals
        Means of the originals' own numbers, before unlearning, by metric.
    floor
        Mean gap between oracles that differ in their seed alone, in points, where there are two.
    """

    label: str
    sparsity: float | None
    originals: Mapping[str, float]
    floor: float | None = None


@dataclass(frozen=True)
class Row:
    """A method with its settings.

    Parameters
    ----------
    cells
        For each block in order, the cells by metric, those that figures need among them; a metric
        that no run has is missing.
    """

    label: str
    method: str
    cells: tuple[Mapping[str, Cell], ...]

    @property
    def is_oracle(self) -> bool:
        """Whether the others are judged against it."""
        return self.method == ORACLE_METHOD


@dataclass(frozen=True)
class Table:
    """Runs that can be compared.

    Parameters
    ----------
    heading
        What the group is, in words; foreign text may be in it.
    about
        What all its runs have in common, by name.
    metrics
        The columns of each block.
    rows
        The oracle first.
    runs
        All runs behind the numbers, in the order of the rows.
    notes
        What the reader must know before trusting it.
    """

    heading: str
    about: Mapping[str, str]
    metrics: tuple[str, ...]
    blocks: tuple[Block, ...]
    rows: tuple[Row, ...]
    runs: tuple[SeedRun, ...]
    notes: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[Row, ...]:
        """The rows that are not the oracle's."""
        return tuple(row for row in self.rows if not row.is_oracle)


def tabulate(runs: Sequence[SeedRun], metrics: Sequence[str] | None = None) -> list[Table]:
    """Tables of runs, one for each group; the order of the runs does not matter.

    Parameters
    ----------
    runs
        Finished ones, each once; oracles that others point to among them.
    metrics
        Columns; default: those of :data:`COLUMNS` that a run has.
    """
    runs, misjudged = without_misjudged(runs)
    oracles = link(runs)
    groups = split_groups(runs, oracles)
    headings = heading([group.shared for group in groups])
    return [
        _table(group, title, oracles, metrics, {run.run_id for run in misjudged})
        for group, title in zip(groups, headings, strict=True)
    ]


def _table(
    group: Group,
    title: str,
    oracles: Mapping[str, SeedRun],
    metrics: Sequence[str] | None,
    misjudged: Set[str],
) -> Table:
    apart = pruning_settings()
    cells: dict[tuple[Key, Key], list[SeedRun]] = {}
    for run in group.runs:
        cells.setdefault((row_key(run), block_key(run, apart)), []).append(run)
    judges = {oracle.run_id for oracle in oracles.values()}
    repeats: list[SeedRun] = []
    for place, own in cells.items():
        cells[place], left_out = without_repeats(own, judges)
        repeats += left_out
    keys = _ordered_blocks({block for _, block in cells}, cells)
    labels = row_labels(list({row for row, _ in cells}))
    names = _columns(metrics, [run for own in cells.values() for run in own], oracles)
    known = tuple(dict.fromkeys((*names, *COLUMNS)))
    rows = [
        Row(label, key[0], tuple(_cells(known, cells.get((key, one), []), oracles) for one in keys))
        for key, label in labels.items()
    ]
    rows = _marked(rows, len(keys), known)
    kept = [run for key in labels for one in keys for run in cells.get((key, one), [])]
    blocks = _blocks(keys, {one: [r for (_, b), own in cells.items() if b == one for r in own]
                            for one in keys})  # fmt: skip
    notes = notes_of(kept, repeats, oracles, misjudged)
    shared = shared_words(group.shared, kept)
    return Table(title, shared, names, blocks, tuple(rows), tuple(kept), tuple(notes))


def _columns(
    asked: Sequence[str] | None, runs: Sequence[SeedRun], oracles: Mapping[str, SeedRun]
) -> tuple[str, ...]:
    if asked is not None:
        return tuple(asked)
    found = []
    for name in COLUMNS:
        cell = make_cell(name, runs, oracles, judge=True)
        if cell is not None or name == "gap":  # an empty gap says that there is no oracle
            found.append(name)
    return tuple(found)


def _cells(
    names: Sequence[str], runs: Sequence[SeedRun], oracles: Mapping[str, SeedRun]
) -> dict[str, Cell]:
    judge = any(run.is_oracle for run in runs)
    made = {name: make_cell(name, runs, oracles, judge=judge) for name in names}
    return {name: cell for name, cell in made.items() if cell is not None}


def _marked(rows: Sequence[Row], blocks: int, names: Sequence[str]) -> list[Row]:
    """The rows with the best of each metric and block marked, the oracle's left out."""
    methods = [row for row in rows if not row.is_oracle]
    cells = [[dict(own) for own in row.cells] for row in methods]
    for block in range(blocks):
        for name in names:
            column = mark_best([own[block].get(name) for own in cells])
            for own, cell in zip(cells, column, strict=True):
                if cell is not None:
                    own[block][name] = cell
    marked = iter([replace(row, cells=tuple(own)) for row, own in zip(methods, cells, strict=True)])
    return [row if row.is_oracle else next(marked) for row in rows]


# --- blocks -------------------------------------------------------------------------------


def _ordered_blocks(
    keys: set[Key], cells: Mapping[tuple[Key, Key], Sequence[SeedRun]]
) -> list[Key]:
    """The densest first."""
    sparsity = {key: _sparsity([r for (_, b), own in cells.items() if b == key for r in own])
                for key in keys}  # fmt: skip
    return sorted(keys, key=lambda key: (key != DENSE, sparsity[key] or 0.0, key))


def _sparsity(runs: Sequence[SeedRun]) -> float | None:
    known = [run.sparsity for run in runs if run.sparsity is not None]
    return sum(sorted(known)) / len(known) if known else None


def _blocks(keys: Sequence[Key], runs: Mapping[Key, Sequence[SeedRun]]) -> tuple[Block, ...]:
    labels = [sparsity_words(0.0 if key == DENSE else _sparsity(runs[key])) for key in keys]
    made = []
    for key, label in zip(keys, labels, strict=True):
        same = [dict(one) for one, other in zip(keys, labels, strict=True)
                if other == label and one != DENSE]  # fmt: skip
        words = [] if key == DENSE else differing(dict(key), same)
        extra = ", ".join(f"{name.removeprefix('prune_')}={value}" for name, value in words)
        made.append(
            Block(
                f"{label} ({extra})" if extra else label,
                0.0 if key == DENSE else _sparsity(runs[key]),
                _originals(runs[key]),
                floor_of([run for run in runs[key] if run.is_oracle]),
            )
        )
    return tuple(made)


def sparsity_words(sparsity: float | None) -> str:
    """``dense``, ``95 % sparse``, ``99.5 % sparse``."""
    if sparsity is None:
        return "sparse"
    return "dense" if sparsity == 0 else f"{round(sparsity, 1):g} % sparse"


def _originals(runs: Sequence[SeedRun]) -> dict[str, float]:
    """Each original counts once, however many methods started from it."""
    found = {}
    for name in OF_ORIGINALS:
        own = {
            (one.seeds.split, one.seeds.training): one.metrics[f"{name}_before"]
            for one in runs
            if f"{name}_before" in one.metrics
        }
        if own:
            found[name] = sum(sorted(own.values())) / len(own)
    return found


def check_metrics(names: Sequence[str]) -> None:
    """Refuse a column that is no metric.

    Raises
    ------
    UserError
        If there is none of that name; the nearest is given.
    """
    for name in names:
        metric(name)
