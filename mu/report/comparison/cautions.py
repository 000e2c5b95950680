"""What must be known before a table is trusted: a rule each for what only a table can show."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd

from mu.evaluation.controls import CONTROLS
from mu.report.alarms import gravest
from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.summary import ranked
from mu.report.comparison.table import Table
from mu.run_record import Seeds

SHOWN = 3  # run IDs in a caution
SEEDS = list(Seeds._fields)


@functools.lru_cache(maxsize=32)  # each form of a comparison says them, and so does its page
def cautions(table: Table) -> tuple[str, ...]:
    """What must be known before a table is trusted: first what is wrong with single results.

    See :mod:`mu.report.alarms` for that; the others are of the :data:`RULES` below, the gravest
    first.
    """
    of_table = [sentence for rule in RULES if (sentence := rule(table)) is not None]
    return (*gravest(dict(table.runs["alarms"])), *of_table)


def _no_oracle(table: Table) -> str | None:
    runs = _methods(table).query("oracle == '' and named == ''")
    if runs.empty:
        return None
    upstream, forget = runs.iloc[0][["upstream", "forget"]]
    return (
        f"no oracle, so no gap: {_listed(runs.index)}; make one and compare again: mlflow run . "
        f"-e unlearn -P method=retrain -P prune_run_id={upstream} -P forget="
        f"{'indices:FILE' if ' ' in forget else forget}"
    )


def _deleted_oracle(table: Table) -> str | None:
    words = (
        "the oracle that they were measured against cannot be read any more, so their gaps are as "
        "logged"
    )
    return _about(_methods(table).query("oracle == '' and named != ''"), words)


def _wrong_oracle(table: Table) -> str | None:
    words = (
        "measured against an oracle of another original, split or forget set, so what was logged "
        "of it is left out"
    )
    return _about(_methods(table).query("misjudged"), words)


def _oracles_apart(table: Table) -> str | None:
    """Differences between methods that are within the chance of the oracle's seed."""
    close = []
    for original, floor in table.originals["floor"].items():  # NaN where no two are alike
        order = list(ranked(table, original).itertuples())
        near = [one.row for one in order if one.mean - order[0].mean < floor]
        if len(near) > 1:
            close.append(f"{' and '.join(near)} on {original} originals ({floor:.2f} points)")
    return (
        "oracles that differ in their seed alone are further apart than these methods: "
        f"{'; '.join(close)}. Their order may be the oracle's chance: compare them over several "
        "oracles (method=retrain with other seeds)"
        if close
        else None
    )


def _several_oracles(table: Table) -> str | None:
    oracles = _methods(table).query("oracle != ''").groupby("problem")["oracle"].nunique()
    words = (
        "runs of the same original are compared with different oracles, so part of the "
        "differences may be the oracles'; evaluate them against one"
    )
    return words if (oracles > 1).any() else None


def _one_seed(table: Table) -> str | None:
    seeds = _methods(table)[SEEDS].drop_duplicates()
    return "one seed only: nothing says how far another one would be" if len(seeds) == 1 else None


def _shared_seed(table: Table) -> str | None:
    seeds = _methods(table)[SEEDS].drop_duplicates()
    same = [name for name in ("training", "unlearning") if seeds[name].nunique() == 1]
    if len(seeds) < 2 or not same:
        return None
    what = f"{same[0]} seed {seeds[same[0]].iloc[0]}"
    return f"all runs share the {what}, whose own chance is in no standard deviation"


def _other_seeds(table: Table) -> str | None:
    rows = _methods(table).groupby("row")[SEEDS]
    sets = {frozenset(own.itertuples(index=False, name=None)) for _, own in rows}
    words = "methods were run over different seeds, so part of their differences may be the seeds'"
    return words if len(sets) > 1 else None


def _not_finite(table: Table) -> str | None:
    words = "values that are NaN or infinite are left out of the means"
    return _about(table.runs.query("not finite"), words)


def _repeated(table: Table) -> str | None:
    words = f"left out as repetitions of the same seeds: {_listed(table.repeats)}"
    return f"{words}; the newest counts" if table.repeats else None


def _several_commits(table: Table) -> str | None:
    several = table.runs["commit"].nunique() > 1
    return "the runs were made by different commits of mu" if several else None


def _uncommitted(table: Table) -> str | None:
    words = "some runs were made by a working tree with changes that are in no commit"
    return words if table.runs["dirty"].any() else None


RULES: Final[Sequence[Callable[[Table], str | None]]] = (
    _no_oracle, _deleted_oracle, _wrong_oracle, _oracles_apart, _several_oracles, _one_seed,
    _shared_seed, _other_seeds, _not_finite, _repeated, _several_commits, _uncommitted,
)  # fmt: skip


def _methods(table: Table) -> pd.DataFrame:
    return table.runs[~table.runs["method"].isin([ORACLE_METHOD, *CONTROLS])]


def _about(runs: pd.DataFrame, words: str) -> str | None:
    return None if runs.empty else f"{words}: {_listed(runs.index)}"


def _listed(run_ids: Sequence[str]) -> str:
    more = f" and {len(run_ids) - SHOWN} more" if len(run_ids) > SHOWN else ""
    return ", ".join(f"run {run_id}" for run_id in run_ids[:SHOWN]) + more
