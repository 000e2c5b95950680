"""Put finished runs beside each other: the paper's table, figures, a page, and what they say."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Group, command
from mu.hyperparameters import Hyperparameters, setting

HELP = """Compare finished unlearn and backdoor runs: tables, figures and a page.

\b
Rows are methods, columns UA, MIA, RA, TA, gap and RTE on dense and on sparse originals, mean and
deviation over seeds, the oracle first. Runs that cannot be compared are never mixed: each group
gets a table of its own. The page is report/report.html among the run's artifacts.

\b
  python -m entrypoints.compare                       (all finished runs of the experiment)
  mlflow run . -e compare -P run_ids=ID,ID,ID
  mlflow run . -e compare -P parent=ID                (the runs below a run)
  mlflow run . -e compare -P experiment=NAME
"""


@dataclass(frozen=True)
class CompareOptions(Hyperparameters):
    """What to compare, and what to show of it."""

    run_ids: str | None = setting(None, help="runs to compare: IDs with commas between them")
    parent: str | None = setting(None, help="compare the runs below that one: an ID")
    experiment: str | None = setting(
        None, help="compare all finished runs of that experiment (default: of the one in use)"
    )
    metrics: str | None = setting(
        None,
        help="columns, with commas: UA,MIA,gap (default: UA, MIA, RA, TA, ASR where there is "
        "one, gap, RTE)",
    )
    title: str | None = setting(None, help="heading of the page")


def build(arguments: Sequence[str]) -> click.Command:
    """The command."""
    own = Group(CompareOptions)

    def action(values: Mapping[str, Any]) -> None:
        from entrypoints import comparing

        comparing.main(CompareOptions.of(own.given(values)))

    return command("compare", HELP, [own], action)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
