"""Poison a training set, measure how far the attack works, unlearn the poison, measure again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import attack_groups, method_named, suspects_group, unlearning_groups
from mu.cli.main import run
from mu.cli.options import Group
from mu.cli.requests import BackdoorOptions
from mu.data.poison_options import PoisonOptions
from mu.methods import method_class
from mu.methods.fine_tuning import cleansing

HELP = """Plant a backdoor in an original, unlearn the poisoned samples, and measure both.

\b
The poisoned original is that of prune_run_id; without it, the newest finished one that matches
the given options, or a new one. Options of the original have the prefix prune_ (but dataset,
data_dir, image_size, arch and stem). --method, --trigger and --suspects decide which options they
have. If somebody else poisoned the data of prune_run_id, suspects says how its poisoned samples are
found, and trigger and target what attack is measured.

\b
  python -m entrypoints.backdoor --trigger patch --target 0 --poison random:10%
  mlflow run . -e backdoor -P prune_rate=0.95 -P method=ft -P oracle_run_id=train
  mlflow run . -e backdoor -P sparsities=0,50,75,90,95,99 -P method=ft
  mlflow run . -e backdoor -P poison=random:3% -P suspects=spectral
  mlflow run . -e backdoor -P prune_run_id=ID -P suspects=spectral -P trigger=patch -P target=cat
  python -m entrypoints.backdoor --trigger warping --help
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method, trigger and pruner that are named."""
    method = method_named(arguments, "resume_run_id", "mu.tasks.backdoor:method_of_interrupted")
    groups = {
        "entry": [Group(BackdoorOptions)],
        **attack_groups(arguments, PoisonOptions),
        "suspects": suspects_group(arguments),
        **unlearning_groups(method, arguments, cleansing(method_class(method))),
    }
    name = f"backdoor with method={method}"
    return entry_command(name, HELP, groups, "mu.tasks.backdoor:backdoor")


if __name__ == "__main__":
    run(build)
