"""Train an original, dense or sparse, and log its mask and checkpoint by run ID."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import original_groups, planted_groups
from mu.cli.main import run
from mu.cli.options import Group
from mu.cli.requests import DeviceOptions, PruneOptions

HELP = """Train an original and prune it: train, find the mask, rewind, train again.

\b
The run logs mask/ and checkpoint/ as artifacts; unlearn loads them by run ID. rate=0 trains a
dense original. The options and defaults below are those of the data set, profile and pruner
given before --help.

\b
  python -m entrypoints.prune --rate 0.95
  mlflow run . -e prune -P dataset=cifar10_jpeg -P data_dir=PATH -P arch=resnet20
  mlflow run . -e prune -P pruner=imp -P rate=0.2 -P rounds=5
  mlflow run . -e prune -P poison=random:10% -P trigger=patch -P target=0
  mlflow run . -e prune -P resume_run_id=ID
  python -m entrypoints.prune --profile vit --pruner synflow --help
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the pruner that ``arguments`` name."""
    groups = {
        "original": [*original_groups(arguments), *planted_groups(arguments)],
        "entry": [Group(PruneOptions)],
        "device": [Group(DeviceOptions)],
    }
    return entry_command("prune", HELP, groups, "mu.tasks.prune:prune")


if __name__ == "__main__":
    run(build)
