"""``mu import``: an original that another program trained, as a finished prune run."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import original_groups
from mu.cli.options import Group
from mu.cli.requests import DeviceOptions, ImportOptions
from mu.foreign import ENOUGH_ZEROS, VAL_SHARE

SHORT_HELP = "Make a finished prune run of a checkpoint from elsewhere."
HELP = f"""Make a finished prune run of the checkpoint FILE, so that unlearn finds it.

\b
FILE is a checkpoint of the paper's repository (OPTML-Group/Unlearn-Sparse), any state dict or
network that torch.save wrote, under any key and prefix, or a safetensors file. Nothing in it is
executed. Its masks (NAME_orig with NAME_mask) are the mask; without any, weights that are
exactly zero are, where they are at least {ENOUGH_ZEROS:.0%} of the prunable ones. The mean and std
of a layer `normalize` in front of the network are taken over.

The other options say how it was trained and pruned, so that Retrain can repeat it. What is not
given is assumed; the table that is printed says so.

\b
  mu import 1model_SA_best.pth.tar --dataset cifar10 --data-dir PATH --arch resnet18
  mu import weights.safetensors --arch resnet20 --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25
"""
DEFAULTS = {
    "rate": "the sparsity of the file's mask",
    "scope": "the smallest that covers the file's mask",
    "val_share": f"{VAL_SHARE:g}, as nothing in the file says what was held out",
}


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the pruner that ``arguments`` name."""
    groups = {
        "original": original_groups(arguments, defaults=DEFAULTS),
        "entry": [Group(ImportOptions)],
        "device": [Group(DeviceOptions)],
    }
    task = "mu.tasks.import_checkpoint:import_checkpoint"
    return entry_command("import", HELP, groups, task, [click.Argument(["file"])])
