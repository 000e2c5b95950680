"""Poison a training set, measure how far the attack works, unlearn the poison, measure again."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import method_named, original_groups
from mu.cli.main import run as run_command
from mu.cli.options import Group, peek
from mu.cli.requests import BackdoorOptions, DeviceOptions
from mu.data.poison_options import PREFIX, PoisonOptions
from mu.data.triggers import DEFAULT_TRIGGER, check_trigger, trigger_class
from mu.detection.spectral import SpectralSignatures
from mu.methods import method_class

HELP = """Plant a backdoor in an original, unlearn the poisoned samples, and measure both.

\b
The poisoned original is that of prune_run_id; without it, the newest finished one that matches
the given options, or a new one. Options of the original have the prefix prune_ (but dataset,
data_dir, image_size, arch and stem). --method and --trigger decide which options they have.

\b
  python -m entrypoints.backdoor --trigger patch --target 0 --poison random:10%
  mlflow run . -e backdoor -P prune_rate=0.95 -P method=ft -P oracle_run_id=train
  mlflow run . -e backdoor -P sparsities=0,50,75,90,95,99 -P method=ft
  mlflow run . -e backdoor -P poison=random:3% -P suspects=spectral
  python -m entrypoints.backdoor --trigger warping --help
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method, trigger and pruner that are named."""
    method = method_named(arguments, "resume_run_id", "mu.tasks.backdoor:method_of_interrupted")
    trigger = check_trigger(peek(arguments, "trigger", DEFAULT_TRIGGER))
    groups = {
        "entry": [Group(BackdoorOptions)],
        "poison": [Group(PoisonOptions)],
        "trigger": [Group(trigger_class(trigger), PREFIX, heading=f"Trigger {trigger}")],
        "suspects": [Group(SpectralSignatures, "suspects_")],
        "method": [Group(method_class(method), heading=f"Method {method}")],
        "original": original_groups(arguments, prefix="prune_"),
        "device": [Group(DeviceOptions)],
    }
    name = f"backdoor with method={method} and trigger={trigger}"
    return entry_command(name, HELP, groups, "mu.tasks.backdoor:backdoor")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
