"""From finished runs to tables: one for each group of runs that can be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from mu.alike import canonical_items
from mu.evaluation.catalogue import HIGHER, LOWER, ORACLE, metric
from mu.evaluation.controls import CONTROLS
from mu.report.alarms import alarms_of
from mu.report.comparison.cells import make_cell
from mu.report.comparison.controls import controls_of
from mu.report.comparison.groups import (
    DENSE,
    Group,
    Key,
    block_key,
    common_settings,
    newest_of_each_seed,
    row_order,
    split_groups,
    tell_apart,
    title,
)
from mu.report.comparison.oracles import (
    NAN,
    ORACLE_METHOD,
    Linked,
    floor_of,
    gain_to,
    gap_to,
    link,
    mask_from,
    problem_of,
)
from mu.report.metrics import digits_of
from mu.report.verdict import BAD, MEANINGS, verdict
from mu.run_record import RunRecord
from mu.tags import COMMIT, DIRTY

# The paper's order; of what follows TA, what a run has.
EXPORTED = ("latency_ms_compact", "file_mb_compact")
COLUMNS = (
    *("UA", "MIA", "MIA_auc", "RA", "TA", "ASR", "IC_err", "Fgt", "gap", "depth", "RTE"),
    *EXPORTED,
)
OF_ORIGINALS = ("UA", "MIA", "RA", "TA", "ASR", "IC_err", "Fgt")
_LOGGED = ("UA", "RA", "TA", "MIA", "gap", "RTE")


@dataclass(frozen=True, eq=False)
class Table:
    """Runs that can be compared."""

    heading: str  # what the group is, in words; foreign text may be in it
    about: Mapping[str, str]  # what all its runs have in common, by name
    metrics: tuple[str, ...]  # the columns of each block
    # A line for each row (the oracle's first), original (dense first, then by sparsity) and metric,
    # those that figures need among them: ``row``, ``method``, ``original``, ``pruner`` (empty if
    # it is dense), ``sparsity`` (0-100 %),
    # the numbers of `make_cell`, NaN where no run has one, and ``best``: whether no method is
    # better on these originals. Controls and what a verdict calls bad are never the best.
    cells: pd.DataFrame
    # A line for each block of columns, by its label (``95 % sparse``): ``sparsity``, ``floor``
    # (mean gap between oracles that differ in their seed alone, in points) and means of the
    # originals' `OF_ORIGINALS` before unlearning. NaN where one is not known.
    originals: pd.DataFrame
    # A line for each run behind the numbers, by run ID; texts that are not known are empty.
    # ``oracle`` is the one that it is compared with, ``named`` the one that it points to,
    # ``verdict`` a word of :mod:`mu.report.verdict`.
    runs: pd.DataFrame
    repeats: tuple[str, ...] = ()  # IDs of runs left out, since they repeat the seeds of one

    @property
    def rows(self) -> dict[str, str]:
        """Method of each row by its label, the oracle's first."""
        return dict(zip(self.cells["row"], self.cells["method"], strict=True))

    @property
    def shown(self) -> pd.DataFrame:
        """The cells of :attr:`metrics`."""
        return self.cells[self.cells["metric"].isin(self.metrics)]

    def has(self, name: str) -> bool:
        """Whether a run has the metric."""
        return bool(self.cells["mean"][self.cells["metric"] == name].notna().any())

    def found(self, name: str) -> pd.DataFrame:
        """The cells of a metric that methods and controls have, the oracle's left out."""
        cells = self.cells[(self.cells["metric"] == name) & self.cells["mean"].notna()]
        return cells[cells["method"] != ORACLE_METHOD]


def tabulate(runs: Sequence[RunRecord], metrics: Sequence[str] | None = None) -> list[Table]:
    """Tables of runs, one for each group; the order of the runs does not matter.

    ``runs``: finished ones, each once; oracles that others point to among them. ``metrics``:
    columns; default: those of :data:`COLUMNS` that a run has.
    """
    linked = link([*runs, *controls_of(runs)])
    groups = split_groups(linked.runs, linked.oracles)
    headings = tell_apart([title(shared) for shared, _ in groups], [own for own, _ in groups])
    return [
        _table(group, heading, linked, metrics)
        for group, heading in zip(groups, headings, strict=True)
    ]


def _table(group: Group, heading: str, linked: Linked, metrics: Sequence[str] | None) -> Table:
    shared, members = group
    names = dict.fromkeys((*(metrics or ()), *COLUMNS, "gain", "latency_ms"))
    lines, facts, kept = [], [], list[RunRecord]()
    for place, own in _places(members, {one.run_id for one in linked.oracles.values()}):
        lines += [place | make_cell(name, own, linked.oracles) for name in names]
        facts += [place | _facts(run, linked) for run in own]
        kept += own
    cells, runs = (pd.DataFrame(one).astype({"sparsity": float}) for one in (lines, facts))
    floors = {  # by block; NaN without a pair of oracles
        str(label): floor_of([one for one in kept if one.run_id in set(block["run_id"])])
        for label, block in runs.groupby("original")
    }
    runs["verdict"] = [
        _word(run, linked.oracles.get(run.run_id), floors[original])
        for run, original in zip(kept, runs["original"], strict=True)
    ]
    cells["best"] = _best(cells, verdicts(runs))
    if metrics is None:  # an empty gap says that there is no oracle
        known = {"gap", *cells.dropna(subset="mean")["metric"]}
        metrics = [name for name in COLUMNS if name in known]
    runs = runs.set_index("run_id")
    repeats = tuple(run.run_id for run in members if run.run_id not in runs.index)
    originals = _originals(runs, floors).loc[cells["original"].unique()]
    about = common_settings(shared, kept)
    return Table(heading, about, tuple(metrics), cells, originals, runs, repeats)


def _places(
    runs: Sequence[RunRecord], judges: Collection[str]
) -> Iterator[tuple[dict[str, Any], list[RunRecord]]]:
    """Each row and block in the order of a table, with its runs, of which there may be none."""
    found: dict[tuple[tuple[str, Key], Key], list[RunRecord]] = defaultdict(list)
    known: dict[Key, list[float]] = defaultdict(list)
    for run in runs:
        found[(run.method, canonical_items(run.settings)), block_key(run)].append(run)
        known[block_key(run)] += [] if run.sparsity is None else [run.sparsity]
    sparsity = {one: fmean(own) if own else None for one, own in known.items()} | {DENSE: 0.0}
    rows = sorted({row for row, _ in found}, key=row_order)
    blocks = sorted(known, key=lambda one: (one != DENSE, sparsity[one] or 0.0, one))
    row_labels = tell_apart([method for method, _ in rows], [dict(own) for _, own in rows])
    own = [{} if one == DENSE else dict(one) for one in blocks]
    pruners = [one.get("prune_pruner", "") for one in own]
    several = len({*pruners} - {""}) > 1
    names = [
        _sparsity_words(sparsity[one]) + (f", {pruner}" if several and pruner else "")
        for one, pruner in zip(blocks, pruners, strict=True)
    ]
    block_labels = tell_apart(names, own)
    for row, label in zip(rows, row_labels, strict=True):
        for block, original, pruner in zip(blocks, block_labels, pruners, strict=True):
            place = {"row": label, "method": row[0], "original": original, "pruner": pruner}
            kept = newest_of_each_seed(found.get((row, block), []), judges)
            yield place | {"sparsity": sparsity[block]}, kept


def _sparsity_words(sparsity: float | None) -> str:
    """``dense``, ``95 % sparse``, ``99.5 % sparse``."""
    if sparsity is None:
        return "sparse"
    return "dense" if sparsity == 0 else f"{round(sparsity, 1):g} % sparse"


def _facts(run: RunRecord, linked: Linked) -> dict[str, Any]:
    """What a caution or a page says of a run."""
    oracle = linked.oracles.get(run.run_id)
    logged = [run.metrics[name] for name in _LOGGED if name in run.metrics]
    return {
        "run_id": run.run_id,
        "name": run.name,
        "url": run.url,
        "forget": run.forget,
        **run.seeds._asdict(),
        "gap": gap_to(run, oracle),
        "upstream": run.upstream_run_id or "ID",
        "named": run.oracle_run_id or "",
        "oracle": "" if oracle is None else oracle.run_id,
        "problem": "" if oracle is None else str((problem_of(run), mask_from(oracle))),
        "misjudged": run.run_id in linked.misjudged,
        "commit": run.tags.get(COMMIT, ""),
        "dirty": run.tags.get(DIRTY) == "true",
        "finite": all(map(math.isfinite, logged)),
        "alarms": []
        if run.method in CONTROLS
        else alarms_of(run, oracle.metrics if oracle else {}),
        **{f"{name}_before": run.metrics.get(f"{name}_before", NAN) for name in OF_ORIGINALS},
    }


def _word(run: RunRecord, oracle: RunRecord | None, floor: float) -> str:
    """The verdict on a run; empty for controls and oracles, and where there is none."""
    if run.is_oracle or run.method in CONTROLS:
        return ""
    numbers = {"gap": gap_to(run, oracle), "gain": gain_to(run, oracle)}
    numbers |= {"gap_before": numbers["gap"] + numbers["gain"]}
    if math.isnan(numbers["gap"]):
        return ""
    found = verdict({**numbers, **run.metrics}, oracle.metrics if oracle else {}, floor)
    return found.word if found else ""


def verdicts(runs: pd.DataFrame) -> pd.Series[str]:
    """The verdict on each row and block: that on most of its runs, the worst of those that tie."""
    order = {word: place for place, word in enumerate(MEANINGS)}

    def usual(words: pd.Series[str]) -> str:
        counts = words.value_counts()
        return str(min(counts.index[counts == counts.max()], key=order.__getitem__))

    return runs[runs["verdict"] != ""].groupby(["row", "original"])["verdict"].agg(usual)


def _originals(runs: pd.DataFrame, floors: Mapping[str, float]) -> pd.DataFrame:
    """Each original counts once, however many methods started from it."""
    names = [f"{name}_before" for name in OF_ORIGINALS]
    single = runs.groupby(["original", "split", "training"])[names].last()
    found = single.groupby("original").mean().set_axis(OF_ORIGINALS, axis="columns")
    sparsity = runs.groupby("original")["sparsity"].first()
    return found.assign(sparsity=sparsity, floor=pd.Series(floors, dtype=float))


def _best(cells: pd.DataFrame, judged: pd.Series[str]) -> Any:
    """Marks the best of the methods' cells of one original and metric, all where some tie.

    What reads the same in the table is the same. Nothing is marked where there is no other method
    to be better than, and where neither direction is better; nor is what ``judged``, by row and
    original, calls bad.
    """
    bad = set(judged.index[judged.isin(BAD)])
    scores = pd.Series([_score(cell) for cell in cells.itertuples()], cells.index, dtype=float)
    scores[[one in bad for one in zip(cells["row"], cells["original"], strict=True)]] = NAN
    column = scores.groupby([cells["original"], cells["metric"]])
    return (column.transform("count") > 1) & (scores == column.transform("min"))


def _score(cell: Any) -> float:
    """The lower, the better; NaN where that cannot be said."""
    better, digits = metric(cell.metric).better, digits_of(cell.metric)
    if cell.method == ORACLE_METHOD or cell.method in CONTROLS:
        return NAN
    score = cell.distance if better == ORACLE else cell.mean
    return round({ORACLE: 1, LOWER: 1, HIGHER: -1}.get(better, NAN) * float(score), digits)
