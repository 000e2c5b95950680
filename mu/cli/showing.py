"""``mu show``: one run with its numbers, and its lineage from the data to the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mu.tags import COMMIT, DATA, DIRTY, ERROR, MASK, VERDICT

if TYPE_CHECKING:
    from rich.tree import Tree

    from mu.run_record import RunRecord
    from mu.tracking import Store

HELP = """Show one run, by its ID or the first digits of it: its numbers next to the original's and
the oracle's, where it comes from, what came of it, and commands that go on from it.

\b
  mu show 31e9601a
"""
MAIN = ("UA", "RA", "TA", "MIA", "ASR", "gap", "RTE", "sparsity")  # in this order, then the others
COMPARED = set(MAIN) - {"gap"}  # with the oracle's
ENDINGS = {"_before": "before", "_oracle": "oracle"}  # of numbers that are of another model
MOST_DERIVED = 10


@click.command(
    "show", help=HELP, short_help="One run: numbers, lineage from data to oracle, what to do next."
)
@click.argument("run_id", metavar="RUN_ID")
def command(run_id: str) -> None:
    """Print it."""
    from mu.report.alarms import alarms_of, texts
    from mu.report.console import UNCUT, make_console, print_lines, print_summary, print_warnings
    from mu.tracking import connect, read_run

    store = connect()
    one = read_run(store, run_id)
    print_summary(f"{one.entry} run {one.run_id}", about(one))
    make_console(UNCUT).print(lineage(store, one))
    print_numbers(one)
    print_warnings(texts(alarms_of(one, one.oracle.metrics if one.oracle else {})))
    if after := next_steps(store, one):
        print_lines(after)


def about(one: RunRecord) -> dict[str, str]:
    """What a run is, in lines."""
    lines = {"name": one.name, "status": one.status}
    if reason := one.tags.get(ERROR):
        lines["reason"] = reason
    lines["started"] = f"{one.started:%Y-%m-%d %H:%M}"
    if one.seconds is not None:
        lines["took"] = f"{one.seconds:.1f} s"
    if verdict := one.tags.get(VERDICT):
        lines["verdict"] = verdict
    if commit := one.tags.get(COMMIT):
        changed = " and changes" if one.tags.get(DIRTY) == "true" else ""
        lines["commit"] = f"{commit[:12]}{changed}"
    return lines


def lineage(store: Store, one: RunRecord) -> Tree:
    """A tree: the data, what was made of it down to the run, its oracle, and what came of it."""
    from rich.text import Text
    from rich.tree import Tree

    from mu.tracking import derived

    chain = [one]
    while (upstream := chain[0].upstream) is not None:
        chain.insert(0, upstream)
    root = branch = Tree(Text(data_in_words(chain[0])))
    for step in chain:
        branch = branch.add(Text(in_words(step), style="bold" if step is one else ""))
    if one.oracle:
        branch.add(Text(f"compared with {in_words(one.oracle)}"))
    above = {step.run_id for step in chain}
    made = [step for step in derived(store, one) if step.run_id not in above]
    for step in made[:MOST_DERIVED]:
        branch.add(Text(in_words(step)))
    if len(made) > MOST_DERIVED:
        branch.add(f"and {len(made) - MOST_DERIVED} more")
    return root


def data_in_words(first: RunRecord) -> str:
    """The data that the first run of a lineage saw."""
    if "dataset" not in first.params:
        return "no data"
    name = first.params["dataset"]
    place = first.params.get("data_dir", "none")
    where = "" if place == "none" else f" in {place}"
    digits = first.tags.get(DATA)
    return f"{name}{where}" + (f" (fingerprint {digits})" if digits else "")


def in_words(one: RunRecord) -> str:
    """A run in a line, with the numbers that tell it from others."""
    names = ("TA", "sparsity") if one.entry == "prune" else ("UA", "RA", "TA", "MIA", "gap")
    numbers = ", ".join(f"{n} {one.metrics[n]:.2f}" for n in names if n in one.metrics)
    state = "" if one.status == "FINISHED" else f", {one.status}"
    return f"{one.run_id} {one.entry}: {one.name}{state}" + (f" ({numbers})" if numbers else "")


def print_numbers(one: RunRecord) -> None:
    """The run's last numbers, with those of the original and of the oracle next to them."""
    from mu.report.console import print_texts

    rows = numbers_of(one.metrics, one.oracle.metrics if one.oracle else {})
    there = {column for row in rows.values() for column in row}
    columns = [name for name in ("value", *ENDINGS.values()) if name in there]
    if rows:
        lines = [
            [name, *(f"{row[one]:.4g}" if one in row else "-" for one in columns)]
            for name, row in rows.items()
        ]
        print_texts("", ["metric", *columns], lines, "l" + "r" * len(columns), plain=True)


def numbers_of(
    metrics: Mapping[str, float], oracle: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """For each metric its ``value``, and where they are known ``before`` and ``oracle``."""
    names = [name for name in metrics if not name.endswith(tuple(ENDINGS))]
    ordered = [*(name for name in MAIN if name in names), *sorted(set(names) - set(MAIN))]
    rows = {}
    for name in ordered:
        rows[name] = {"oracle": oracle[name]} if name in oracle and name in COMPARED else {}
        logged = {column: name + ending for ending, column in {"": "value", **ENDINGS}.items()}
        rows[name] |= {column: metrics[one] for column, one in logged.items() if one in metrics}
    return rows


def next_steps(store: Store, one: RunRecord) -> dict[str, str]:
    """Commands that go on from a run, by what they are for."""
    from mu.report.next_steps import next_steps as next_steps_of
    from mu.tracking import registered_as
    from mu.tracking.resuming import RESUMABLE

    run_id = one.run_id
    if one.status != "FINISHED":
        if one.status == "RUNNING" or one.entry not in RESUMABLE:
            return {}
        return {"resume": f"mlflow run . -e {one.entry} -P resume_run_id={run_id}"}
    steps = {}
    if one.entry in ("unlearn", "backdoor"):
        steps["evaluate"] = f"mlflow run . -e evaluate -P run_id={run_id}"
    if MASK in one.tags:
        steps |= next_steps_of(one.entry, run_id, registered_as(store, run_id))
    return steps
