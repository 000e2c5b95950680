"""Making some unlearnings of a grid again, to see whether they come out as they are recorded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mu import tags
from mu.errors import UserError
from mu.evaluation.statistics import prediction_interval
from mu.report import console
from mu.report.markdown import escape, markdown_table, paragraphs
from mu.tasks.outputs import write_json, write_text
from mu.tasks.sweep.find import Results
from mu.tasks.sweep.plan import Plan, Task
from mu.tracking import Recorder, Store

METRICS = ("UA", "RA", "TA", "MIA", "gap")
COLUMNS = ("unlearning", "weights", *METRICS)
LAYOUT = "ll" + len(METRICS) * "r"


@dataclass(frozen=True)
class Checked:
    """A metric of an unlearning that was made again."""

    label: str
    run_ids: tuple[str, str]  # as recorded, and again
    same_weights: bool
    metric: str
    recorded: float
    again: float
    # low, high: where one more run lies with 95 %, by all recorded runs that differ by their seeds
    # alone; None of a single one, or where these are all equal.
    low: float | None
    high: float | None

    @property
    def inside(self) -> bool:
        """Whether the new value lies in the interval, or is the recorded one."""
        if self.again == self.recorded:
            return True
        return self.low is not None and self.low <= self.again <= float(self.high or 0)


def chosen(plan: Plan, found: Results, count: int) -> Plan:
    """So many unlearnings that are finished, at random, after what they need.

    UserError if there are not so many.
    """
    finished = [task for task in plan if task.kind == "cell" and task.key in found]
    if len(finished) < count:
        raise UserError(
            f"recheck={count}: {len(finished)} unlearnings of this grid are finished; give that "
            "many at most, or run the grid first"
        )
    drawn = random.SystemRandom().sample(finished, count)
    keys = {key for task in drawn for key in (task.key, *task.needs)}
    return tuple(task for task in plan if task.key in keys)


def compared(store: Store, plan: Plan, found: Results, again: Results) -> Iterator[Checked]:
    """Each metric of each unlearning of ``again`` beside what is recorded of it.

    ``plan``, ``found``: of the whole grid.
    """
    for task in plan:
        if task.kind != "cell" or task.key not in again:
            continue
        before, after = found[task.key], again[task.key]
        ids = before["run_id"], after["run_id"]
        weights = {store.run(run_id).data.tags.get(tags.WEIGHTS) for run_id in ids}
        alike = [
            found[one.key]["metrics"]
            for one in plan
            if one.key in found and _but_seed(one) == _but_seed(task)
        ]
        for name in METRICS:
            if name in before["metrics"] and name in after["metrics"]:
                bounds = prediction_interval([one[name] for one in alike if name in one])
                values = before["metrics"][name], after["metrics"][name]
                yield Checked(task.label, ids, len(weights) == 1, name, *values, *bounds)


def _but_seed(task: Task) -> tuple[str, Mapping[str, object], Mapping[str, object]]:
    original = {name: value for name, value in task.original.settings.items() if name != "seed"}
    dropped = ("seed", "forget_set")  # another original may be split otherwise
    return task.kind, original, {n: one for n, one in task.what.items() if n not in dropped}


def report(recorder: Recorder, rows: Sequence[Checked]) -> bool:
    """Write and print what was made again; whether all of it came out inside."""
    cells = list(_cells(rows))
    outside = sum(not one.inside for one in rows)
    lead = (
        f"{len(cells)} unlearnings made again: {len(rows) - outside} of {len(rows)} values are the "
        "recorded ones, or inside their intervals"
    )
    table = markdown_table(COLUMNS, [[escape(text) for text in row] for row in cells], LAYOUT)
    text = paragraphs(lead, table)
    recorder.metrics({"recheck_outside": float(outside)})
    recorder.describe(text)
    write_text(recorder.folder / "report" / "recheck.md", text)
    values = [{**vars(one), "inside": one.inside} for one in rows]
    write_json(recorder.folder / "report" / "recheck.json", {"values": values})
    console.print_texts("", COLUMNS, cells, LAYOUT, plain=True)
    print(lead)
    return not outside


def _cells(rows: Sequence[Checked]) -> Iterator[list[str]]:
    """A row of the table for each unlearning."""
    for run_ids in dict.fromkeys(one.run_ids for one in rows):
        about = {one.metric: one for one in rows if one.run_ids == run_ids}
        first = next(iter(about.values()))
        texts = [_text(about[name]) if name in about else "-" for name in METRICS]
        yield [first.label, "the same" if first.same_weights else "others", *texts]


def _text(one: Checked) -> str:
    """The recorded value; if another came out, that and the interval."""
    if one.again == one.recorded:
        return f"{one.recorded:.2f}"
    bounds = "no interval" if one.low is None else f"{one.low:.2f} to {one.high:.2f}"
    found = "inside" if one.inside else "OUTSIDE"
    return f"{one.recorded:.2f}, now {one.again:.2f}: {found} ({bounds})"
