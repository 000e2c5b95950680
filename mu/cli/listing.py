"""``mu runs``: the runs of the experiment with the numbers that matter, newest or best first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import click

from mu.errors import UserError, unknown
from mu.tags import ENTRY, ERROR

if TYPE_CHECKING:
    from mu.run_record import RunRecord

HELP = """List the runs of the experiment with their metrics, newest first.

\b
  mu runs                            everything
  mu runs --best                     methods by gap, averaged over seeds, with controls
  mu runs --entry unlearn --sort gap single runs, whatever they forgot
  mu runs --method ft --limit 5
  mu runs --status FAILED            with the reason
  mu runs --json                     one object a line, with all parameters and tags

The experiment is that of MLFLOW_EXPERIMENT_NAME, in the store of MLFLOW_TRACKING_URI.
"""
COLUMNS = (  # where a run has them
    *("sparsity", "UA", "RA", "TA", "MIA", "ASR", "gap", "RTE"),
    *("target_acc", "target_gain"),
)
STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING")
SHORT = 8  # digits of an ID, where a line is too short for all
WIDE = 130  # letters of a line that has room for all


@click.command("runs", help=HELP, short_help="List runs with their metrics.")
@click.option("--entry", metavar="NAME", help="Of that entry point only: prune, unlearn, ...")
@click.option("--method", metavar="NAME", help="Of that unlearning method only.")
@click.option("--status", metavar="NAME", help="FINISHED, FAILED, KILLED or RUNNING only.")
@click.option(
    "--sort",
    metavar="METRIC",
    help="Best first by that metric (see `mu metrics`); runs without it are left out.",
)
@click.option(
    "--best",
    is_flag=True,
    help="Methods instead of runs: by data, original and forget set, the smallest mean gap first.",
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Most runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def command(
    entry: str | None,
    method: str | None,
    status: str | None,
    sort: str | None,
    limit: int,
    as_json: bool,
    best: bool,
) -> None:
    """Print them."""
    if best:
        if entry or method or status or sort or as_json:
            raise UserError("--best ranks all finished unlearn runs; give it alone")
        _print_best()
        return
    found = list(islice(runs_of(entry, method, status), None if sort else limit))
    ranked = best_first(found, sort) if sort else found
    found, left_out = ranked[:limit], len(found) - len(ranked)
    if as_json:
        for one in found:
            click.echo(json.dumps(as_dict(one)))
        return
    if not found:
        click.echo("no such run; start one: mlflow run . -e prune")
        return
    print_runs(found)
    if left_out:
        click.echo(f"{left_out} more without {sort}")


def _print_best() -> None:
    """Each kind of original with its methods and controls, averaged over seeds."""
    from mu.report.comparison.table import tabulate
    from mu.report.console import print_notes
    from mu.report.ranking import RANKS, print_rankings
    from mu.tracking import choose_runs, connect

    chosen = choose_runs(connect(), None, None, None)
    print_rankings(tabulate(chosen.runs), RANKS)
    print_notes(chosen.notes)


def runs_of(entry: str | None, method: str | None, status: str | None) -> Iterator[RunRecord]:
    """These runs, newest first; UserError if a name is unknown."""
    from mu.methods import check_method
    from mu.tracking import connect, records
    from mu.tracking.doctor import ENTRY_POINTS

    conditions = []
    if entry is not None and entry not in ENTRY_POINTS:
        raise unknown("entry", entry, ENTRY_POINTS)
    if method is not None:
        conditions.append(f"params.method = '{check_method(method)}'")
    if status is not None:
        if status.upper() not in STATUSES:
            raise unknown("status", status, STATUSES)
        conditions.append(f"attributes.status = '{status.upper()}'")
    return records(connect(), {} if entry is None else {ENTRY: entry}, *conditions)


def best_first(found: Sequence[RunRecord], name: str) -> list[RunRecord]:
    """The runs that have a number, the best one first; UserError if none has it."""
    ranked = [one for one in found if name in one.metrics]
    if not ranked:
        from mu.evaluation.catalogue import metric

        metric(name)  # says which name was meant, where it is none
        raise UserError(f"sort={name}: no run has that metric; see which do with `mu runs`")
    return sorted(ranked, key=lambda one: one.metrics[name], reverse=not smallest_is_best(name))


def smallest_is_best(name: str) -> bool:
    """Whether less of a metric is better, by the catalogue; of one that is neither, more is first.

    Names that the catalogue does not know are sorted down, too.
    """
    from mu.evaluation.catalogue import LOWER, metric

    try:
        return metric(name).better == LOWER
    except UserError:
        return False


def as_dict(one: RunRecord) -> dict[str, object]:
    """All that the store knows of a run, JSON-ready."""
    names = ("run_id", "entry", "name", "status", "started", "seconds", "params", "metrics", "tags")
    found = {name: getattr(one, name) for name in names}
    found["started"] = one.started.isoformat(timespec="seconds")
    found["tags"] = {name: value for name, value in one.tags.items() if name.startswith("mu.")}
    return found


def print_runs(found: Sequence[RunRecord]) -> None:
    """A table; below it why runs failed."""
    from mu.report import console

    digits = None if console.make_console(console.UNCUT).width >= WIDE else SHORT
    names = [name for name in COLUMNS if any(name in one.metrics for one in found)]
    _, numbers, layout = console.numbers(names, [one.metrics for one in found])
    rows = [
        [one.run_id[:digits], one.entry, _titled(one), *line]
        for one, line in zip(found, numbers, strict=True)
    ]
    console.print_texts("", ["run", "entry", "name", *names], rows, "lll" + layout, plain=True)
    failed = [one for one in found if ERROR in one.tags]
    console.print_notes([f"{one.run_id[:digits]}: {one.tags[ERROR]}" for one in failed])


def _titled(one: RunRecord) -> str:
    """The run's name, and what is special about it."""
    state = "" if one.status == "FINISHED" else f" ({one.status.lower()})"
    return f"{one.name}{', oracle' if one.is_oracle else ''}{state}"
