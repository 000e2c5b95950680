"""Measure the model of a finished run: attacks, distance to its oracle, plots, suspects."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import attack_groups, suspects_group
from mu.cli.main import run
from mu.cli.options import Group
from mu.cli.requests import DeviceOptions, EvaluateOptions, StatedAttack

HELP = """Measure an unlearned model, and compare it with its oracle.

\b
The metrics are logged in a new run and, unless add=false, added to the measured run as well.
`mu metrics` lists all of them with their definitions. With suspects, training samples that look
poisoned are listed instead. --trigger and --suspects decide which options they have.

\b
  python -m entrypoints.evaluate --run_id ID
  mlflow run . -e evaluate -P run_id=ID -P metrics=depth,tow
  mlflow run . -e evaluate -P run_id=ID -P metrics=klom -P run_ids=ID,ID -P oracle_run_ids=ID,ID
  mlflow run . -e evaluate -P run_id=ID -P suspects=spectral
  mlflow run . -e evaluate -P run_id=ID -P metrics=backdoor -P trigger=patch -P target=cat
  python -m entrypoints.evaluate --checkpoint DIR --forget class:3 --oracle_run_id ID
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the trigger and detector that ``arguments`` name."""
    groups = {
        "entry": [Group(EvaluateOptions, heading="Measurements")],
        **attack_groups(arguments, StatedAttack),
        "suspects": suspects_group(arguments),
        "device": [Group(DeviceOptions)],
    }
    return entry_command("evaluate", HELP, groups, "mu.tasks.evaluate:evaluate")


if __name__ == "__main__":
    run(build)
