"""Attack an unlearned model with reference models, to find what it still reveals."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.main import run as run_command
from mu.cli.options import Group
from mu.cli.requests import DeviceOptions, LiraOptions

HELP = """Attack an unlearned model with reference models (LiRA, U-LiRA, RMIA).

\b
Each reference is trained by the original's recipe on the retain set, a random half of the
forget set and as many test images; the run's method then unlearns that half. The attacks are
applied to the original, the unlearned model and the oracle. Each reference costs one training
from scratch and one unlearning. An interrupted run can be resumed.

\b
  python -m entrypoints.lira --unlearn_run_id ID
  mlflow run . -e lira -P unlearn_run_id=ID -P references=64
  mlflow run . -e lira -P resume_run_id=ID
"""


def build(_arguments: Sequence[str]) -> click.Command:
    """The command; its options are always the same."""
    groups = {"entry": [Group(LiraOptions)], "device": [Group(DeviceOptions)]}
    return entry_command("lira", HELP, groups, "mu.tasks.lira:lira")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
