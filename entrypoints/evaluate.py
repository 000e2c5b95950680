"""Measure a model that was made before: attacks, distance to its oracle, plots."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.main import run as run_command
from mu.cli.options import Group
from mu.cli.requests import DeviceOptions, EvaluateOptions

HELP = """Measure an unlearned model, and compare it with its oracle.

\b
What is measured is logged in a run of its own and, unless add=false, added to the run that
was measured. `mu metrics` lists every number with its definition.

\b
  python -m entrypoints.evaluate --run_id ID
  mlflow run . -e evaluate -P run_id=ID -P metrics=relearn,tow
  mlflow run . -e evaluate -P run_id=ID -P metrics=klom -P run_ids=ID,ID -P oracle_run_ids=ID,ID
  python -m entrypoints.evaluate --checkpoint DIR --forget class:3 --oracle_run_id ID
"""


def build(_arguments: Sequence[str]) -> click.Command:
    """The command; its options are always the same."""
    groups = {"entry": [Group(EvaluateOptions)], "device": [Group(DeviceOptions)]}
    return entry_command("evaluate", HELP, groups, "mu.tasks.evaluate:evaluate")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
