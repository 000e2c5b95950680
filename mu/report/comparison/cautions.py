"""What must be known before a table is trusted: a rule each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd

from mu.report.comparison.oracles import ORACLE_METHOD
from mu.report.comparison.table import Table
from mu.run_record import Seeds

FITTED = 97.0  # % of the retain set that an original must get right for forgetting to be hard
SHOWN = 3  # run IDs in a caution
SEEDS = list(Seeds._fields)


def cautions(table: Table) -> list[str]:
    """The sentences of the :data:`RULES` that apply to a table, the gravest first."""
    return [sentence for rule in RULES if (sentence := rule(table)) is not None]


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


def _under_fitted(table: Table) -> str | None:
    lowest = table.runs["RA_before"].min()  # NaN where no run has one
    words = (
        f"originals do not fit their training data (RA down to {lowest:.1f} %, below {FITTED:g} "
        "%): an under-fitted original forgets by itself, so small gaps say little"
    )
    return words if lowest < FITTED else None


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
    _no_oracle, _deleted_oracle, _wrong_oracle, _under_fitted, _several_oracles, _one_seed,
    _shared_seed, _other_seeds, _not_finite, _repeated, _several_commits, _uncommitted,
)  # fmt: skip


def _methods(table: Table) -> pd.DataFrame:
    return table.runs[table.runs["method"] != ORACLE_METHOD]


def _about(runs: pd.DataFrame, words: str) -> str | None:
    return None if runs.empty else f"{words}: {_listed(runs.index)}"


def _listed(run_ids: Sequence[str]) -> str:
    more = f" and {len(run_ids) - SHOWN} more" if len(run_ids) > SHOWN else ""
    return ", ".join(f"run {run_id}" for run_id in run_ids[:SHOWN]) + more
