"""Run a grid of originals, oracles and unlearnings, each once, by one command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.main import run as run_command
from mu.cli.options import Group
from mu.cli.requests import MOST_RUNS, DeviceOptions, SweepOptions

HELP = f"""Run every combination of originals, forget sets, methods and seeds of a grid file.

\b
  originals:               # options of prune; a list is an axis
    dataset: digits
    rate: [0, 0.95]
    seed: [0, 1, 2]
    epochs: 10
  forget: [class:0, "random:10%"]
  methods: [ft, ga, {{l1_sparse: {{l1_strength: [1, 2]}}}}]
  seed: [0]                # of the unlearning
  oracle: train            # or none, or options of retrain

\b
Each original and each oracle is trained once and shared. Runs of the experiment that are
already finished are used again, so the same command continues an interrupted sweep. More than
{MOST_RUNS} runs need yes=true.

\b
  mlflow run . -e sweep -P grid=FILE.yaml -P dry_run=true
  mlflow run . -e sweep -P grid=FILE.yaml -P engine=processes -P jobs=4
  mlflow run . -e sweep -P resume_run_id=ID
"""


def build(_arguments: Sequence[str]) -> click.Command:
    """The command; its options are always the same."""
    groups = {"entry": [Group(SweepOptions)], "device": [Group(DeviceOptions)]}
    return entry_command("sweep", HELP, groups, "mu.tasks.sweep.run:sweep")


if __name__ == "__main__":
    run_command(build, sys.argv[1:], launches=False)  # each task starts its own processes
