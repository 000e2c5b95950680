"""``mu seeds``: what runs that differ in nothing but their seeds say of a method, or of two."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from mu.alike import check_alike, check_ids, differing, matched
from mu.errors import UserError, unknown
from mu.run_record import RunRecord, Seeds
from mu.tags import COMMIT

if TYPE_CHECKING:
    from mu.evaluation.statistics import Summary

HELP = """Mean, spread and 95 % interval over unlearn runs that differ in their seeds alone.

With --against, the differences between two methods, run by run of the same three seeds (split,
training, unlearning), with the paired t test and Wilcoxon's signed-rank test.

\b
  mu seeds ID ID ID
  mu seeds ID ID ID --against ID ID ID --metrics UA,MIA
"""
FEWEST = 2
METRICS = ("UA", "RA", "TA", "MIA", "ASR", "robust_acc", "gap", "RTE")
P_VALUE = (
    "p is of the paired t test, and says 'differs' below 0.05; where no difference is shown, more "
    "seeds may show one"
)
BEYOND = "the t interval of so few runs goes beyond the scale; --bootstrap stays inside"


class _SeveralValues(click.Command):
    """A command whose ``--against`` takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say ``--against`` again before each of its words."""
        return super().parse_args(ctx, spread(args, "--against"))


def spread(arguments: Sequence[str], option: str) -> list[str]:
    """``--option A B`` as ``--option A --option B``."""
    found: list[str] = []
    several = False
    for word in arguments:
        name, equals, value = word.partition("=")
        several = name == option or (several and not word.startswith("-"))
        if several and name != option and found[-1] != option:
            found.append(option)
        found += [option, value] if name == option and equals else [word]
    return found


@click.command(
    "seeds",
    cls=_SeveralValues,
    help=HELP,
    short_help="Mean, spread and 95 % interval over runs that differ in their seeds.",
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
    _check_count(run_ids, "")
    if against:
        _check_count(against, " --against")
    from mu.tracking import connect, read_each

    runs = read_each(connect(), [*run_ids, *against])
    groups = [group for group in (runs[: len(run_ids)], runs[len(run_ids) :]) if group]
    for group in groups:
        check_alike(group)
    if against:
        groups[1] = matched(*groups)
    names, notes = _common_metrics(runs) if metrics is None else (_listed(metrics), [])
    _check_values(runs, names)
    _print(groups, names, [*notes, *_cautions(runs, names)], bootstrap)


def _check_count(run_ids: Sequence[str], where: str) -> None:
    """Refuse fewer runs than have a spread; ``where`` names the option."""
    if len(run_ids) < FEWEST:
        raise UserError(
            f"give at least {FEWEST} run IDs{where}, of runs that differ in their seeds; "
            f"{len(run_ids)} is too few for a spread"
        )


def _common_metrics(runs: Sequence[RunRecord]) -> tuple[list[str], list[str]]:
    """Those of :data:`METRICS` that all runs have, and notes on those that only some have."""
    lacking = {n: [run.run_id for run in runs if n not in run.metrics] for n in METRICS}
    names = [name for name, without in lacking.items() if not without]
    if not names:
        raise UserError(f"the runs have none of {', '.join(METRICS)} in common; give --metrics")
    notes = [
        f"{name} is left out: run {without[0]} has none"
        for name, without in lacking.items()
        if 0 < len(without) < len(runs)
    ]
    return names, notes


def _listed(text: str) -> list[str]:
    names = list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    if not names:
        raise UserError(f"metrics={text!r} names none; give names as UA,RA")
    return names


def _check_values(runs: Sequence[RunRecord], names: Iterable[str]) -> None:
    """Refuse a metric that a run lacks, or that is not finite."""
    from mu.evaluation.catalogue import METRICS

    for run, name in ((run, name) for name in names for run in runs):
        value = run.metrics.get(name)
        if value is None and name not in METRICS:
            raise unknown(f"metric of run {run.run_id}", name, run.metrics)
        if value is None:
            raise UserError(
                f"run {run.run_id} has no {name}; measure it first: mlflow run . -e evaluate "
                f"-P run_id={run.run_id} -P metrics={name}"
            )
        if not math.isfinite(value):
            raise UserError(f"{name} of run {run.run_id} is {value}; leave that run out")


def _varying(runs: Sequence[RunRecord]) -> dict[str, list[int]]:
    """Values of each seed that is not the same in all runs, by its name."""
    columns = {name: sorted({getattr(run.seeds, name) for run in runs}) for name in Seeds._fields}
    return {name: values for name, values in columns.items() if len(values) > 1}


def describe_seeds(runs: Sequence[RunRecord]) -> str:
    """Which seeds vary, and which do not: ``varies: training seed (0, 1); fixed: split 0``."""
    varying = _varying(runs)
    words = [f"{name} seed ({', '.join(map(str, values))})" for name, values in varying.items()]
    fixed = [f"{n} {value}" for n, value in runs[0].seeds._asdict().items() if n not in varying]
    return f"varies: {', '.join(words)}" + (f"; fixed: {', '.join(fixed)}" if fixed else "")


def _cautions(runs: Sequence[RunRecord], names: Iterable[str]) -> list[str]:
    """What the reader of the intervals should know; an oracle is one run here, with its seed."""
    from mu.evaluation.measurements import to_oracle

    notes = []
    triples, varying = {run.seeds for run in runs}, _varying(runs)
    if any(len(values) < len(triples) for values in varying.values()):
        notes.append(
            "some runs share a seed that varies, so they are not independent, and the intervals "
            "are too narrow"
        )
    if distances := ", ".join(name for name in names if to_oracle(name)):
        used = {(run.seeds.split, run.seeds.training, run.oracle_run_id) for run in runs}
        if len({one[:2] for one in used}) < len(used):
            notes.append(
                f"{distances}: runs of the same original are compared with different oracles, so "
                "part of the differences may be the oracles'; evaluate them against one"
            )
        elif len({oracle for *_, oracle in used}) == 1:
            notes.append(
                f"{distances}: all runs are compared with one oracle, whose own chance is in no "
                "interval"
            )
    if len({run.tags.get(COMMIT) for run in runs}) > 1:
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
        and (top := largest.get(METRICS[name].unit))
        and one.low is not None
        and one.high is not None
        and (one.low < 0 or one.high > top)
    ]


def _print(
    groups: Sequence[Sequence[RunRecord]], names: Sequence[str], notes: list[str], bootstrap: bool
) -> None:
    """Compute and show everything of one group, or of two whose runs are in one order."""
    from mu.evaluation.statistics import paired, summarise
    from mu.report import console
    from mu.report import seeds as tables

    click.echo(describe_seeds(groups[0]))
    outside: list[str] = []
    columns = [{n: [run.metrics[n] for run in group] for n in names} for group in groups]
    titles = [_title(*pair) for pair in (groups, groups[::-1])][: len(groups)]
    for values, title, label in zip(columns, titles, ("", "against: "), strict=False):
        summaries = {n: summarise(own, bootstrap=bootstrap) for n, own in values.items()}
        text = f"{label}{title}: {len(groups[0])} runs"
        tables.print_group(text, summaries, bootstrap=bootstrap)
        outside += _outside(summaries)
    if len(groups) > 1:
        comparisons = {n: paired(*(values[n] for values in columns)) for n in names}
        tables.print_differences(f"{' less '.join(titles)}: {len(groups[0])} pairs", comparisons)
        notes = [P_VALUE, *notes]
        if len(names) > 1:
            notes.append(
                f"{len(names)} metrics are tested at 5 % each: one in twenty differs by chance"
            )
    if outside:
        notes = [*notes, f"{', '.join(dict.fromkeys(outside))}: {BEYOND}"]
    console.print_notes(notes)


def _title(runs: Sequence[RunRecord], others: Sequence[RunRecord] = ()) -> str:
    """The method and what it forgets, and in what it differs from the same method's others."""
    one = runs[0]
    words = f"{one.method} {one.forget}"
    if not others or others[0].method != one.method:
        return words
    apart = differing(one.settings, others[0].settings)
    settings = ", ".join(f"{name}={mine}" for name, (mine, _) in apart.items())
    return f"{words} ({settings})" if settings else words
