"""``mu seeds``: what runs that differ in nothing but their seeds say of a method, or of two."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import click

from mu.cli.seed_runs import check_alike, check_count, check_ids, fetch_seed_run, matched
from mu.errors import UserError, unknown
from mu.report.comparison.records import SeedRun, Seeds, same_setting

if TYPE_CHECKING:
    from mu.evaluation.statistics import Summary

SHORT_HELP = "Mean, spread and 95 % interval over runs that differ in their seeds."
HELP = """Mean, spread and 95 % interval over unlearn runs that differ in their seeds alone.

With --against, the differences between two methods, run by run of the same three seeds (split,
training, unlearning), with the paired t test and Wilcoxon's signed-rank test.

\b
  mu seeds ID ID ID
  mu seeds ID ID ID --against ID ID ID --metrics UA,MIA
"""
METRICS = ("UA", "RA", "TA", "MIA", "ASR", "robust_acc", "gap", "RTE")


class _SeveralValues(click.Command):
    """A command whose ``--against`` takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say ``--against`` again before each of its words."""
        return super().parse_args(ctx, spread(args, "--against"))


def spread(arguments: Sequence[str], option: str) -> list[str]:
    """``--option A B`` as ``--option A --option B``."""
    found: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name != option:
            found.append(word)
            continue
        values = [value] if equals else []
        following = list(takewhile(lambda one: not one.startswith("-"), rest))
        rest = rest[len(following) :]
        values += following
        found += [part for one in values for part in (option, one)] or [option]
    return found


@click.command(
    "seeds",
    cls=_SeveralValues,
    help=HELP,
    short_help=SHORT_HELP,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
@click.argument("run_ids", nargs=-1, metavar="RUN_ID RUN_ID ...")
@click.option(
    "--against",
    multiple=True,
    metavar="RUN_ID RUN_ID ...",
    help="Runs of another method, or of the same with other settings, over the same seeds.",
)
@click.option(
    "--metrics", metavar="UA,RA", help=f"What to compare. [default: those of {','.join(METRICS)}]"
)
@click.option("--bootstrap", is_flag=True, help="Intervals of means by the bootstrap, not by t.")
def command(
    run_ids: tuple[str, ...], against: tuple[str, ...], metrics: str | None, bootstrap: bool
) -> None:
    """The command; see ``HELP``."""
    check_ids([*run_ids, *against])
    check_count(run_ids, "")
    if against:
        check_count(against, " --against")
    from mu.tracking import connect

    store = connect()
    ours, theirs = ([fetch_seed_run(store, run_id) for run_id in ids] for ids in (run_ids, against))
    for group in filter(None, (ours, theirs)):
        check_alike(group)
    if theirs:
        theirs = matched(ours, theirs)
    names, notes = _metrics([*ours, *theirs], metrics)
    _print(ours, theirs, names, [*notes, *_cautions([*ours, *theirs], names)], bootstrap)


# --- the runs -----------------------------------------------------------------------------


def _metrics(runs: Sequence[SeedRun], asked: str | None) -> tuple[list[str], list[str]]:
    """Which metrics to compare, and notes on what is left out.

    Raises
    ------
    UserError
        If a metric that was asked for is not in every run, or a value is not finite.
    """
    from mu.evaluation import catalogue

    notes = []
    if asked is None:
        names = []
        for name in METRICS:
            lacking = [run.run_id for run in runs if name not in run.metrics]
            if not lacking:
                names.append(name)
            elif len(lacking) < len(runs):
                notes.append(f"{name} is left out: run {lacking[0]} has none")
        if not names:
            raise UserError(f"the runs have none of {', '.join(METRICS)} in common; give --metrics")
    else:
        names = list(dict.fromkeys(filter(None, map(str.strip, asked.split(",")))))
        if not names:
            raise UserError(f"metrics={asked!r} names none; give names as UA,RA")
    for name in names:
        for run in runs:
            if name not in run.metrics:
                if name in catalogue.METRICS:
                    raise UserError(
                        f"run {run.run_id} has no {name}; measure it first: mlflow run . -e "
                        f"evaluate -P run_id={run.run_id} -P metrics={name}"
                    )
                raise unknown(f"metric of run {run.run_id}", name, run.metrics)
            if not math.isfinite(run.metrics[name]):
                raise UserError(
                    f"{name} of run {run.run_id} is {run.metrics[name]}; leave that run out"
                )
    return names, notes


def _varying(runs: Sequence[SeedRun]) -> dict[str, list[int]]:
    """Values of each seed that is not the same in all runs, by its name."""
    columns = {name: sorted({getattr(run.seeds, name) for run in runs}) for name in Seeds._fields}
    return {name: values for name, values in columns.items() if len(values) > 1}


def describe_seeds(runs: Sequence[SeedRun]) -> str:
    """Which seeds vary, and which do not: ``varies: training seed (0, 1); fixed: split 0``."""
    varying = _varying(runs)
    words = [f"{name} seed ({', '.join(map(str, values))})" for name, values in varying.items()]
    fixed = [f"{n} {value}" for n, value in runs[0].seeds._asdict().items() if n not in varying]
    return f"varies: {', '.join(words)}" + (f"; fixed: {', '.join(fixed)}" if fixed else "")


def _cautions(runs: Sequence[SeedRun], names: Iterable[str]) -> list[str]:
    """What the reader of the intervals should know."""
    from mu.evaluation.measurements import to_oracle

    notes = []
    triples, varying = {run.seeds for run in runs}, _varying(runs)
    if any(len(values) < len(triples) for values in varying.values()):
        notes.append(
            "some runs share a seed that varies, so they are not independent, and the intervals "
            "are too narrow"
        )
    if distances := [name for name in names if to_oracle(name)]:
        by_cell: dict[tuple[int, int], set[str | None]] = {}
        for run in runs:
            cell = by_cell.setdefault((run.seeds.split, run.seeds.training), set())
            cell.add(run.tags.get("mu.oracle"))
        what = ", ".join(distances)
        if any(len(oracles) > 1 for oracles in by_cell.values()):
            notes.append(
                f"{what}: runs of the same original are held against different oracles, so part "
                "of the differences may be the oracles'; evaluate them against one"
            )
        elif len({run.tags.get("mu.oracle") for run in runs}) == 1:
            notes.append(
                f"{what}: all runs are held against one oracle, whose own chance is in no interval"
            )
    if len({run.tags.get("mu.commit") for run in runs}) > 1:
        notes.append("the runs were made by different commits of mu")
    return notes


def _outside(summaries: Mapping[str, Summary]) -> list[str]:
    """Metrics whose interval goes beyond the scale that they are on."""
    from mu.evaluation.catalogue import METRICS

    largest = {"%": 100.0, "points": 100.0, "0-1": 1.0}
    return [
        name
        for name, one in summaries.items()
        if name in METRICS
        and METRICS[name].unit in largest
        and one.low is not None
        and one.high is not None
        and (one.low < 0 or one.high > largest[METRICS[name].unit])
    ]


def _print(
    ours: Sequence[SeedRun],
    theirs: Sequence[SeedRun],
    names: Sequence[str],
    notes: Sequence[str],
    bootstrap: bool,
) -> None:
    """Compute and show everything."""
    from mu.evaluation.statistics import paired, summarise
    from mu.report import console
    from mu.report import seeds as tables

    click.echo(describe_seeds(ours))
    outside: list[str] = []
    for group, other, label in ((ours, theirs, ""), (theirs, ours, "against: ")):
        if group:
            summaries = {n: summarise(_values(group, n), bootstrap=bootstrap) for n in names}
            title = f"{label}{_title(group, other)}: {len(group)} runs"
            tables.print_group(title, summaries, bootstrap=bootstrap)
            outside += _outside(summaries)
    if theirs:
        comparisons = {n: paired(_values(ours, n), _values(theirs, n)) for n in names}
        title = f"{_title(ours, theirs)} less {_title(theirs, ours)}: {len(ours)} pairs"
        tables.print_differences(title, comparisons)
        notes = [
            "p is of the paired t test, and says 'differs' below 0.05; where no difference is "
            "shown, more seeds may show one",
            *notes,
        ]
        if len(names) > 1:
            notes.append(
                f"{len(names)} metrics are tested at 5 % each: one in twenty differs by chance"
            )
    if outside:
        names_out = ", ".join(dict.fromkeys(outside))
        notes = [
            *notes,
            f"{names_out}: the t interval of so few runs goes beyond the scale; "
            "--bootstrap stays inside",
        ]
    console.print_notes(notes)


def _values(runs: Sequence[SeedRun], name: str) -> list[float]:
    return [run.metrics[name] for run in runs]


def _title(runs: Sequence[SeedRun], others: Sequence[SeedRun]) -> str:
    """The method and what it forgets, and in what it differs from the same method beside it."""
    one = runs[0]
    words = f"{one.method} {one.forget}"
    if not others or others[0].method != one.method:
        return words
    beside = others[0].settings
    own = [
        f"{n}={v}" for n, v in one.settings.items() if not same_setting(v, beside.get(n, "not set"))
    ]
    return f"{words} ({', '.join(own)})" if own else words
