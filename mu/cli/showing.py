"""``mu show``: one run with its numbers, and its lineage from the data to the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mu.errors import UserError

if TYPE_CHECKING:
    from rich.tree import Tree

    from mu.tracking import Store
    from mu.tracking.records import Record

SHORT_HELP = "One run: numbers, lineage from data to oracle, what to do next."
HELP = """Show one run, by its ID or the first digits of it: its numbers beside the original's and
the oracle's, where it comes from, what came of it, and commands that go on from it.

\b
  mu show 31e9601a
"""
MAIN = ("UA", "RA", "TA", "MIA", "ASR", "gap", "RTE", "sparsity")  # in this order, then the others
ENDINGS = {"_before": "before", "_oracle": "oracle"}  # of numbers that stand beside a run's own
MOST_DERIVED = 10


@click.command(
    "show",
    help=HELP,
    short_help=SHORT_HELP,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
@click.argument("run_id", metavar="RUN_ID")
def command(run_id: str) -> None:
    """Print it."""
    from mu.report.console import print_lines, wide_console
    from mu.tracking import connect
    from mu.tracking.records import find_record

    store = connect()
    one = find_record(store, run_id)
    console = wide_console()
    console.print(f"{one.entry} run {one.run_id}", style="bold", markup=False)
    print_lines(about(one))
    console.print(lineage(store, one))
    print_numbers(one, _oracle_of(store, one))
    if after := next_steps(one):
        print_lines(after)


def about(one: Record) -> dict[str, str]:
    """What a run is, in lines."""
    lines = {"name": one.name, "status": one.status}
    if reason := one.tags.get("mu.error"):
        lines["reason"] = reason
    lines["started"] = f"{one.started:%Y-%m-%d %H:%M}"
    if one.seconds is not None:
        lines["took"] = f"{one.seconds:.1f} s"
    if commit := one.tags.get("mu.commit"):
        changed = " and changes" if one.tags.get("mu.dirty") == "true" else ""
        lines["commit"] = f"{commit[:12]}{changed}"
    return lines


# --- lineage ------------------------------------------------------------------------------


def lineage(store: Store, one: Record) -> Tree:
    """A tree: the data, what was made of it down to the run, its oracle, and what came of it."""
    from rich.text import Text
    from rich.tree import Tree

    from mu.tracking.records import derived

    chain = ancestors(store, one)
    root = branch = Tree(Text(data_in_words(chain[0])))
    for step in chain:
        here = step.run_id == one.run_id
        branch = branch.add(Text(in_words(step), style="bold" if here else ""))
    if oracle := _oracle_of(store, one):
        branch.add(Text(f"compared with {in_words(oracle)}"))
    made = [step for step in derived(store, one.run_id) if step.run_id != one.run_id]
    for step in made[:MOST_DERIVED]:
        branch.add(Text(in_words(step)))
    if len(made) > MOST_DERIVED:
        branch.add(f"and {len(made) - MOST_DERIVED} more")
    return root


def ancestors(store: Store, one: Record) -> list[Record]:
    """The runs that led to a run, the first one first, and itself; as far as they are there."""
    from mu.tracking.records import find_record

    chain = [one]
    while (upstream := chain[0].links.get("upstream")) is not None:
        try:
            chain.insert(0, find_record(store, upstream))
        except UserError:  # it was deleted since
            break
    return chain


def data_in_words(first: Record) -> str:
    """The data that the first run of a lineage saw."""
    if "dataset" not in first.params:
        return "no data of its own"
    name = first.params["dataset"]
    place = first.params.get("data_dir", "none")
    where = "" if place == "none" else f" in {place}"
    digits = first.tags.get("mu.data")
    return f"{name}{where}" + (f" (fingerprint {digits})" if digits else "")


def in_words(one: Record) -> str:
    """A run in a line, with the numbers that tell it from others."""
    names = ("TA", "sparsity") if one.entry == "prune" else ("UA", "RA", "TA", "MIA", "gap")
    numbers = ", ".join(f"{n} {one.metrics[n]:.2f}" for n in names if n in one.metrics)
    state = "" if one.status == "FINISHED" else f", {one.status}"
    return f"{one.run_id} {one.entry}: {one.name}{state}" + (f" ({numbers})" if numbers else "")


def _oracle_of(store: Store, one: Record) -> Record | None:
    from mu.tracking.records import find_record

    if (run_id := one.links.get("oracle")) is None:
        return None
    try:
        return find_record(store, run_id)
    except UserError:  # it was deleted since
        return None


# --- numbers ------------------------------------------------------------------------------


def print_numbers(one: Record, oracle: Record | None) -> None:
    """The run's last numbers, with those of the original and of the oracle beside them."""
    from rich.table import Table

    from mu.report.console import wide_console

    rows = beside(one.metrics, oracle.metrics if oracle else {})
    if not rows:
        return
    there = {column for row in rows.values() for column in row}
    columns = [name for name in ("value", *ENDINGS.values()) if name in there]
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[one]:.4g}" if one in row else "-" for one in columns))
    wide_console().print(table)


def beside(
    metrics: Mapping[str, float], oracle: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """For each metric its ``value``, and where they are known ``before`` and ``oracle``."""
    own = [name for name in metrics if not name.endswith(tuple(ENDINGS))]
    ordered = [*(name for name in MAIN if name in own), *sorted(set(own) - set(MAIN))]
    rows = {name: {"value": metrics[name]} for name in ordered}
    for name, row in rows.items():
        for ending, column in ENDINGS.items():
            if name + ending in metrics:
                row[column] = metrics[name + ending]
        if name in oracle and name in MAIN and name != "gap":
            row.setdefault("oracle", oracle[name])
    return rows


# --- what next ----------------------------------------------------------------------------


def next_steps(one: Record) -> dict[str, str]:
    """Commands that go on from a run, by what they are for."""
    from mu.tracking.resuming import RESUMABLE

    run_id = one.run_id
    if one.status != "FINISHED":
        if one.status == "RUNNING" or one.entry not in RESUMABLE:
            return {}
        return {"resume": f"mlflow run . -e {one.entry} -P resume_run_id={run_id}"}
    steps = {}
    if one.entry == "prune":
        steps["unlearn"] = f"mlflow run . -e unlearn -P prune_run_id={run_id}"
    if one.entry in ("unlearn", "backdoor"):
        steps["evaluate"] = f"mlflow run . -e evaluate -P run_id={run_id}"
    if "mu.mask" in one.tags:
        steps["mask"] = f"mlflow artifacts download -r {run_id} -a mask -d DIR"
        steps["model"] = f'mu.load_model("{run_id}")'
    return steps
