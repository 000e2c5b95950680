"""Compare finished runs: the paper's table, figures, a page, and a summary in words."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.main import run as run_command
from mu.cli.options import Group
from mu.cli.requests import CompareOptions

HELP = """Compare finished unlearn and backdoor runs: tables, figures and a page.

\b
One row for each method, the oracle first; columns UA, MIA, RA, TA, gap and RTE on dense and on
sparse originals, as mean and standard deviation over seeds. Runs that cannot be compared get
separate tables. The page is the artifact report/report.html.

\b
  python -m entrypoints.compare                       (all finished runs of the experiment)
  mlflow run . -e compare -P run_ids=ID,ID,ID
  mlflow run . -e compare -P parent=ID                (the runs below a run)
  mlflow run . -e compare -P experiment=NAME
"""


def build(_arguments: Sequence[str]) -> click.Command:
    """The command; its options are always the same."""
    groups = {"entry": [Group(CompareOptions)]}
    return entry_command("compare", HELP, groups, "mu.tasks.compare:compare")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
