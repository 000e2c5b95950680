"""Unlearn a part of an original's training data, and measure how well that worked."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import attack_groups, method_named, unlearning_groups
from mu.cli.main import run
from mu.cli.options import Group
from mu.cli.requests import StatedAttack, UnlearnOptions

HELP = """Unlearn a forget set, evaluate the model, and compare it with the oracle.

\b
The oracle is a model retrained from scratch without the forget set. The original is that of
prune_run_id; without it, the newest finished one that matches the given options, or a new one.
Options of the original have the prefix prune_ (but dataset, data_dir, image_size, arch and
stem); their defaults apply only if an original is trained. --method decides which options it has.

\b
  python -m entrypoints.unlearn --forget class:3 --method l1_sparse --oracle_run_id train
  mlflow run . -e unlearn -P prune_run_id=ID -P forget=random:10% -P method=ft -P lr=0.02
  mlflow run . -e unlearn -P prune_run_id=ID -P forget=suspects:ID -P trigger=patch -P target=cat
  mlflow run . -e unlearn -P resume_run_id=ID
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method and pruner that ``arguments`` name."""
    method = method_named(arguments, "resume_run_id", "mu.tasks.unlearn:method_of_interrupted")
    groups = {
        "entry": [Group(UnlearnOptions, heading="Unlearning")],
        **unlearning_groups(method, arguments),
        **attack_groups(arguments, StatedAttack),
    }
    return entry_command(f"unlearn with method={method}", HELP, groups, "mu.tasks.unlearn:unlearn")


if __name__ == "__main__":
    run(build)
