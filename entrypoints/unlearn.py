"""Make an original forget a part of its training data, and show how well it forgot."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import method_named, unlearning_groups
from mu.cli.main import run
from mu.cli.options import Group
from mu.cli.requests import UnlearnOptions

HELP = """Make an original forget, evaluate it, and compare it with the oracle.

\b
The original is that of prune_run_id, or the newest finished one that agrees with what is
asked, or a new one. Options of the original are named as in prune, with the prefix prune_
(dataset, data_dir, image_size, arch and stem are plain); their defaults hold only where
an original is made. The options of the method are those of --method.

\b
  python -m entrypoints.unlearn --forget class:3 --method l1_sparse --oracle_run_id train
  mlflow run . -e unlearn -P prune_run_id=ID -P forget=random:10% -P method=ft -P lr=0.02
  mlflow run . -e unlearn -P resume_run_id=ID
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method and pruner that ``arguments`` name."""
    method = method_named(arguments, "resume_run_id", "mu.tasks.unlearn:method_of_interrupted")
    groups = {
        "entry": [Group(UnlearnOptions, heading="Unlearning")],
        **unlearning_groups(method, arguments),
    }
    return entry_command(f"unlearn with method={method}", HELP, groups, "mu.tasks.unlearn:unlearn")


if __name__ == "__main__":
    run(build)
