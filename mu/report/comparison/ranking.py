"""Methods by their gap in each cell: one kind of data, original and forget set."""

from __future__ import annotations

from collections.abc import Sequence

from mu.report import console
from mu.report.comparison.cells import number, write
from mu.report.comparison.table import Table, verdicts

SHOWN = ("gap", "gain", "depth", "RTE")


def print_best(tables: Sequence[Table]) -> None:
    """Each cell with its methods and controls, the smallest gap first, averaged over seeds."""
    for table in tables:
        words = verdicts(table.runs)
        for original, block in table.cells.groupby("original", sort=False):
            gaps = block[(block["metric"] == "gap") & block["mean"].notna()]
            rows = []
            for one in gaps.sort_values("mean", kind="stable").itertuples():
                own = block[block["row"] == one.row].set_index("metric")
                others = [number(name, own["mean"].get(name)) for name in SHOWN[1:]]
                verdict = words.get((one.row, original), "")
                rows.append([one.row, write(one), *others, str(one.runs), verdict])
            title = f"{table.heading}; {original}"
            if rows:
                columns = ["", *SHOWN, "runs", "verdict"]
                console.print_texts(title, columns, rows, "lrrrrrl", plain=True)
            else:
                console.print_summary(title, {"gap": "no run was compared with an oracle"})
