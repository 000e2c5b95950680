"""Unlearn source classes, fine-tune for a target, and measure whether that helped."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import method_named, original_groups
from mu.cli.main import run as run_command
from mu.cli.options import Group, peek
from mu.cli.requests import TRANSFER_PREFIX, DeviceOptions, TransferOptions
from mu.custom import check_name
from mu.data import DATASETS
from mu.errors import unknown
from mu.methods import method_class
from mu.training.recipe import Training
from mu.transfer import DEFAULT_TUNE, TUNES

HELP = """Unlearn classes of a source, fine-tune for a target, and compare with the original.

\b
Some classes of a source data set can harm transfer to a target. This entry unlearns the classes
that you name, gives the original, the unlearned network and the oracle the same new head,
fine-tunes each on the target in the same way, and compares their accuracy there.

\b
Original and unlearning have the options of unlearn, which becomes a nested run; or give
unlearn_run_id. Options of the fine-tuning have the prefix transfer_.

\b
  mlflow run . -e transfer -P prune_run_id=ID -P forget=class:0,3 -P target=imagefolder \\
    -P target_dir=DIR
  mlflow run . -e transfer -P unlearn_run_id=ID -P target=oxford_pets -P target_dir=DIR -P tune=all
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method and pruner that ``arguments`` name."""
    if (target := peek(arguments, "target", "none")) not in ("none", "auto"):
        check_name("target", target, DATASETS)
    if (tune := peek(arguments, "tune", DEFAULT_TUNE)) not in TUNES:
        raise unknown("tune", tune, TUNES)
    method = method_named(arguments, "unlearn_run_id", "mu.tasks.resolve:method_of_run")
    defaults = {name: str(value) for name, value in TUNES[tune].items()}
    groups = {
        "entry": [Group(TransferOptions)],
        "training": [Group(Training, TRANSFER_PREFIX, defaults, "Training for the target")],
        "method": [Group(method_class(method), heading=f"Method {method}")],
        "original": original_groups(arguments, prefix="prune_"),
        "device": [Group(DeviceOptions)],
    }
    name = f"transfer with method={method} and tune={tune}"
    return entry_command(name, HELP, groups, "mu.tasks.transfer:transfer")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
