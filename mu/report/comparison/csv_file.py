"""Tables as CSV: a line for each number, with all digits and the runs that it comes from."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from mu.report.comparison.cells import Cell
from mu.report.comparison.table import Table

FIELDS = (
    "group", "original", "sparsity", "row", "method", "metric", "mean", "sd", "runs", "low",
    "high", "distance", "best", "run_ids",
)  # fmt: skip


def to_csv(tables: Sequence[Table]) -> str:
    """All tables, one below the other; a number that is not there is empty.

    ``sd`` is the sample standard deviation over ``runs`` runs, ``low`` and ``high`` the ends of
    the 95 % interval (over seeds; of one run over samples), ``distance`` the mean distance to the
    oracle, ``run_ids`` are apart by spaces.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            for block, own in zip(table.blocks, row.cells, strict=True):
                place = {
                    "group": table.heading,
                    "original": block.label,
                    "sparsity": block.sparsity,
                    "row": row.label,
                    "method": row.method,
                }
                for name in table.metrics:
                    if name in own:
                        writer.writerow(place | _numbers(own[name]))
    return text.getvalue()


def _numbers(cell: Cell) -> dict[str, Any]:
    return {
        "metric": cell.metric,
        "mean": cell.mean,
        "sd": cell.sd,
        "runs": len(cell.values),
        "low": cell.low,
        "high": cell.high,
        "distance": cell.distance,
        "best": cell.best,
        "run_ids": " ".join(one.run.run_id for one in cell.values),
    }
