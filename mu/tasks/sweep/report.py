"""What a sweep shows and keeps: its plan, how far it is, and what came of it."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from mu.report import console
from mu.report.comparison.formats import to_markdown
from mu.report.comparison.table import tabulate
from mu.report.ranking import RESULTS, print_cautions, print_rankings
from mu.tasks.outputs import write_csv, write_json, write_text
from mu.tasks.sweep.plan import KINDS, Plan, Task, left_out
from mu.tasks.sweep.schedule import RUNNING, STATES, WAITING, Schedule
from mu.tracking import Recorder, browse, read_each
from mu.tracking.choosing import SWEEP_FILE

MOST_LETTERS = 7000  # of a description; MLflow takes 8,000
Estimates = Mapping[str, float | None]  # seconds by the keys of tasks; None where nothing is known


def print_plan(plan: Plan, estimates: Estimates) -> None:
    """A table of the tasks by kind; those with an estimate are yet to be made."""

    def cells(kind: str) -> list[Any]:
        tasks = [task for task in plan if task.kind == kind]
        left = [estimates[task.key] for task in tasks if task.key in estimates]
        known = [one for one in left if one is not None]
        texts = [console.duration(sum(known))] if known else []
        texts += [f"{len(left) - len(known)} unknown"] if len(known) < len(left) else []
        return [len(tasks), len(tasks) - len(left), len(left), " + ".join(texts) or "-"]

    table = _by_kind(("planned", "finished", "to make", "estimated"), cells)
    console.make_console().print(table)
    for line in left_out(plan):
        print(f"left out: {line}")


def _by_kind(
    columns: Sequence[str], cells: Callable[[str], Sequence[Any]], caption: str | None = None
) -> RichTable:
    """A table with a row for each kind of tasks."""
    table = RichTable("", caption=caption, caption_justify="left")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for kind, word in KINDS.items():
        table.add_row(f"{word}s", *map(str, cells(kind)))
    return table


class Board:
    """How far a sweep is: a live table on a terminal, a line for each change elsewhere."""

    def __init__(self, schedule: Schedule, estimates: Estimates, jobs: int) -> None:
        self._schedule, self._estimates, self._jobs = schedule, estimates, jobs
        self._took: dict[str | None, list[float]] = {}  # by method; originals have none
        # Tasks that run in this process have its output redirected meanwhile; the board has not.
        self._console = Console(file=sys.stdout)
        self._live = Live(console=self._console, get_renderable=self.table, refresh_per_second=1)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def changed(self, task: Task, what: str, about: Mapping[str, Any]) -> None:
        """See :func:`mu.tasks.sweep.schedule.drive`."""
        if "seconds" in about:
            self._took.setdefault(task.what.get("method"), []).append(about["seconds"])
        lines = [f"{line} ({task.label})" for line in about.get("warnings", ())]
        if not self._console.is_terminal and what != "died":
            words = {"begun": "begins", "again": "is tried again"}.get(what, what)
            run = f" (run {about['run_id']})" if "run_id" in about else ""
            why = f": {about['error']}" if "error" in about else ""
            done = f"{len(self._schedule.results)}/{len(self._schedule.plan)}"
            lines.append(f"[{done}] {KINDS[task.kind]} {words}: {task.label}{run}{why}")
        for line in lines:
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)
        self._console.file.flush()

    def table(self) -> RichTable:
        """Kinds of tasks against their states."""
        left = self._seconds_left()
        text = "time left unknown" if left is None else f"about {console.duration(left)} left"
        tasks = self._schedule.plan
        counts = Counter((task.kind, self._schedule.state(task)) for task in tasks)
        return _by_kind(STATES, lambda kind: [counts[kind, state] for state in STATES], text)

    def _seconds_left(self) -> float | None:
        """For what is not done, as many at a time as there are jobs; None where unknown.

        A task takes what others of its method took in this sweep, or else what earlier runs say.
        """
        state, plan = self._schedule.state, self._schedule.plan
        left = [task for task in plan if state(task) in (WAITING, RUNNING)]
        if not left:
            return 0.0
        mean = {method: statistics.fmean(took) for method, took in self._took.items()}
        each = [mean.get(one.what.get("method"), self._estimates.get(one.key)) for one in left]
        known = [one for one in each if one is not None]
        # What nothing is known of may take as long as the others.
        return statistics.fmean(known) * len(left) / self._jobs if known else None


def report(recorder: Recorder, schedule: Schedule) -> None:
    """Write and print every task's run, the unlearnings as tables, and what failed and why."""
    plan, folder = schedule.plan, recorder.folder
    runs = {key: result["run_id"] for key, result in schedule.results.items()}
    entries = [
        {
            "kind": task.kind,
            "label": task.label,
            "state": schedule.state(task),
            "run_id": runs.get(task.key),
            "error": schedule.failures.get(task.key),
            "needs": [runs.get(need) for need in task.needs],
            **task.what,
        }
        for task in plan
    ]
    rows = [
        {
            "run_id": runs[task.key],
            **{f"prune_{name}": value for name, value in task.original.settings.items()},
            "method": task.what["method"],
            "forget": task.what["forget"],
            "seed": task.seed,
            **task.what["settings"],
            **schedule.results[task.key]["metrics"],
        }
        for task in plan
        if task.kind == "cell" and task.key in runs
    ]
    # The unlearnings that are done, averaged over their seeds, with controls and cautions.
    made = dict.fromkeys(runs[one.key] for one in plan if one.needs and one.key in runs)
    tables = tabulate(read_each(recorder.store, list(made))) if made else []
    write_json(folder / SWEEP_FILE, {"tasks": entries})
    write_csv(folder / "report" / "sweep.csv", rows)
    counts = Counter(task.kind for task in plan)
    words = ", ".join(f"{counts[kind]} {word}s" for kind, word in KINDS.items())
    lines = [f"**Sweep**: {words}", "", *(f"- {line}" for line in failures(schedule)), ""]
    text = "\n".join([*lines, to_markdown(tables) if tables else ""])
    write_text(folder / "report" / "summary.md", text)
    recorder.describe(text[:MOST_LETTERS])
    if schedule.tracebacks:
        text = "\n".join(f"{label}\n{trace}" for label, trace in schedule.tracebacks.items())
        write_text(folder / "report" / "failures.txt", text)
    best = print_rankings(tables, RESULTS)
    print_cautions(tables)
    console.print_notes(failures(schedule))
    after = {"sweep": recorder.run_id}
    if made:
        after["compare"] = f"mlflow run . -e compare -P parent={recorder.run_id}"
    if best:
        after["show"] = f"mu show {best[0]}"
    console.print_lines({**after, "browse": browse(recorder.store, "mu-unlearn")})


def failures(schedule: Schedule) -> list[str]:
    """Each task that was given up, and why: first those that were tried."""
    tasks = [(task, schedule.failures.get(task.key)) for task in schedule.plan]
    lines = [f"{KINDS[one.kind]} {one.label}: {why}" for one, why in tasks if why is not None]
    return sorted(lines, key=lambda line: "not tried" in line)
