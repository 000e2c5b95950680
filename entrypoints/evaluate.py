"""Measure the model of a finished run: attacks, distance to its oracle, plots."""

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
The metrics are logged in a new run and, unless add=false, added to the measured run as well.
`mu metrics` lists all of them with their definitions.

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
