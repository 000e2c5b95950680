"""What a sweep keeps and prints in the end: every task's run, and the numbers of its cells."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mu.report import console, prose
from mu.report.console import COLUMNS
from mu.tasks.outputs import browse, write_json
from mu.tasks.sweep.checks import SweepPlan
from mu.tasks.sweep.find import Result
from mu.tasks.sweep.plan import Task
from mu.tasks.sweep.schedule import Schedule
from mu.tracking import Recorder, Store
from mu.tracking.choosing import SWEEP_FILE

MOST_ROWS = 40  # of the table that is printed
_MOST_LETTERS = 7000  # of a description; MLflow takes 8,000


def write_report(
    recorder: Recorder, sweep: SweepPlan, schedule: Schedule, tracebacks: Mapping[str, str]
) -> None:
    """Write the runs of all tasks, the cells as a table, and what went wrong."""
    folder = recorder.folder
    (folder / "report").mkdir()
    write_json(folder / SWEEP_FILE, {"tasks": [_entry(one, schedule) for one in _tasks(sweep)]})
    rows = [_row(sweep, task, schedule) for task in _done_cells(sweep, schedule)]
    _write_csv(rows, folder / "report" / "sweep.csv")
    text = _describe(sweep, schedule)
    (folder / "report" / "summary.md").write_text(text)
    recorder.describe(text[:_MOST_LETTERS])
    if tracebacks:
        said = [f"{sweep.plan[key].label}\n{text}" for key, text in tracebacks.items()]
        (folder / "report" / "failures.txt").write_text("\n".join(said))


def print_report(store: Store, run_id: str, sweep: SweepPlan, schedule: Schedule) -> None:
    """The cells as a table, what failed and why, and where to look."""
    cells = _done_cells(sweep, schedule)
    if cells:
        shown = cells[:MOST_ROWS]
        rows = [schedule.results[task.key]["metrics"] for task in shown]
        names = [name for name in COLUMNS if any(name in row for row in rows)]
        console.print_table(f"{len(cells)} cells", names, rows, [task.label for task in shown])
    if len(cells) > MOST_ROWS:
        console.print_notes([f"{len(cells) - MOST_ROWS} more are in report/sweep.csv of the run"])
    failed = [(task, schedule.failures.get(task.key)) for task in _tasks(sweep)]
    console.print_notes([f"{one.kind} {one.label}: {why}" for one, why in failed if why])
    console.print_lines({"sweep": run_id, "browse": browse(store, "mu-unlearn")})


def missing(sweep: SweepPlan, schedule: Schedule) -> str | None:
    """What is not there in the end, in one line; None where all is."""
    lost = [task for task in _tasks(sweep) if task.key in schedule.failures]
    if not lost:
        return None
    first = next((one for one in lost if "not tried" not in schedule.failures[one.key]), lost[0])
    why = f"{first.kind} {first.label}: {schedule.failures[first.key]}"
    return (
        f"{len(lost)} of {len(_tasks(sweep))} runs of the sweep are not there ({why}); the same "
        "command again tries just these"
    )


def _tasks(sweep: SweepPlan) -> tuple[Task, ...]:
    return sweep.plan.tasks


def _done_cells(sweep: SweepPlan, schedule: Schedule) -> list[Task]:
    return [task for task in sweep.plan.of_kind("cell") if task.key in schedule.results]


def _entry(task: Task, schedule: Schedule) -> dict[str, Any]:
    result: Result = schedule.results.get(task.key, {})
    return {
        "kind": task.kind,
        "label": task.label,
        "state": schedule.state(task.key),
        "run_id": result.get("run_id"),
        "error": schedule.failures.get(task.key),
        "needs": [schedule.results.get(need, {}).get("run_id") for need in task.needs],
        **task.what,
    }


def _row(sweep: SweepPlan, task: Task, schedule: Schedule) -> dict[str, Any]:
    result, what = schedule.results[task.key], task.what
    original = sweep.plan[sweep.original(task)]
    return {
        "run_id": result["run_id"],
        **{f"prune_{name}": value for name, value in original.what["settings"].items()},
        "method": what["method"],
        "forget": what["forget"],
        "seed": sweep.seed(task),
        **what["settings"],
        **result["metrics"],
    }


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _describe(sweep: SweepPlan, schedule: Schedule) -> str:
    counts = {kind: len(sweep.plan.of_kind(kind)) for kind in ("original", "oracle", "cell")}
    lines = [
        f"**Sweep**: {counts['original']} originals, {counts['oracle']} oracles, "
        f"{counts['cell']} cells",
        "",
    ]
    lines += [f"- {sweep.plan[key].label}: {why}" for key, why in schedule.failures.items()]
    cells = _done_cells(sweep, schedule)
    metrics = [dict(schedule.results[task.key]["metrics"]) for task in cells]
    if cells:
        names = [name for name in COLUMNS if any(name in row for row in metrics)]
        lines += ["", prose.table_of(names, metrics, [one.label for one in cells])]
    return "\n".join(lines) + "\n"
