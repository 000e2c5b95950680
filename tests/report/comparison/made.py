"""Finished runs as they are read, made up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mu.report.comparison.table import Table
from mu.run_record import RunRecord, Seeds
from mu.tags import FORGET, ORACLE, ORACLE_KEY, UPSTREAM

ORIGINAL: dict[str, Any] = {
    "dataset": "digits", "arch": "resnet_mini", "stem": "cifar", "data": "aa" * 8,
    "prune_epochs": 20, "prune_lr": 0.1, "prune_pruner": "omp", "prune_rate": 0.95,
    "prune_rounds": 1, "prune_rewind": "rewind_lt", "given mask": False, "history": ("pruned",),
}  # fmt: skip
NUMBERS = {
    "UA": 90.0, "RA": 99.0, "TA": 94.0, "MIA": 92.0, "RTE": 2.0,
}  # fmt: skip
BEFORE = {"UA_before": 0.0, "RA_before": 100.0, "TA_before": 95.0, "MIA_before": 1.0}


def make_run(
    run_id: str,
    method: str = "ft",
    *,
    split: int = 0,
    training: int = 0,
    seed: int = 0,
    sparse: bool = False,
    settings: Mapping[str, str] | None = None,
    original: Mapping[str, Any] | None = None,
    forget: str = "class:0",
    metrics: Mapping[str, float] | None = None,
    without: tuple[str, ...] = (),
    oracle: str | None = None,
    tags: Mapping[str, str] | None = None,
    name: str = "",
    started: int = 0,
) -> RunRecord:
    """A run; its forget set and its original's mask follow from split, forget and training."""
    made = {**ORIGINAL, "prune_rate": 0.95 if sparse else 0.0, **(original or {})}
    numbers = {**NUMBERS, **(metrics or {})}
    own = {FORGET: f"{forget}/{split}", UPSTREAM: f"o{split}{training}{sparse}"}
    own |= {ORACLE: oracle} if oracle else {}
    if settings is None:
        settings = {"mask_from": "upstream"} if method == "retrain" else {}
    if method == "retrain":
        own[ORACLE_KEY] = str((made, forget, split, training, settings))
    known = {
        "method": method,
        "settings": settings,
        "original": made,
        "forget": forget,
        "seeds": Seeds(split, training, seed),
        "sparsity": 100 * made["prune_rate"],
        "original_mask": f"m{split}{training}{made['prune_rate']}",
    }
    return RunRecord(
        run_id,
        "unlearn",
        name or f"{method} {forget}",
        "FINISHED",
        datetime.fromtimestamp(started, UTC),
        1.0,
        {},
        {n: value for n, value in numbers.items() if n not in without},
        {**own, **(tags or {})},
        f"http://server/#/experiments/0/runs/{run_id}",
        known=known,
    )


def a_study() -> list[RunRecord]:
    """Two methods and the oracle on dense and sparse originals, over two seeds."""
    runs = []
    for sparse in (False, True):
        for seed in (0, 1):
            place: dict[str, Any] = {"sparse": sparse, "training": seed, "seed": seed}
            key = f"{'s' if sparse else 'd'}{seed}"
            judge = {"UA": 100.0, "RA": 100.0, "TA": 95.0 + seed, "MIA": 100.0, "RTE": 8.0}
            runs.append(make_run(f"retrain-{key}", "retrain", metrics=judge, **place))
            for method, worse in (("ft", 40.0), ("l1_sparse", 2.0)):
                apart = worse / 10 if sparse else worse
                own = {
                    "UA": 100 - apart, "MIA": 100 - apart - seed, "RA": 100.0,
                    "TA": 95.0 + seed, "RTE": 2.0 + seed,
                }  # fmt: skip
                parts = {f"gap_{n}": abs(own[n] - judge[n]) for n in ("UA", "MIA", "RA", "TA")}
                own |= parts | {"gap": sum(parts.values()) / 4}
                own |= {"gap_lo": own["gap"] - 0.5, "gap_hi": own["gap"] + 0.5}
                link = f"retrain-{key}"
                runs.append(make_run(f"{method}-{key}", method, metrics=own, oracle=link, **place))
    return runs


def cell(table: Table, row: str, metric: str, block: int = 0) -> Any:
    """A line of the table's cells."""
    cells = table.cells
    place = (cells["row"] == row) & (cells["metric"] == metric)
    (found,) = cells[place & (cells["original"] == table.originals.index[block])].itertuples()
    return found


def has(table: Table, row: str, metric: str, block: int = 0) -> bool:
    """Whether the table has that number."""
    return cell(table, row, metric, block).runs > 0
