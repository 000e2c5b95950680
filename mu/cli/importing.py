"""``mu import``: an original that another program trained, as a finished prune run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.options import Group, command
from mu.cli.originals import DeviceOptions, given_settings, original_groups
from mu.errors import UserError
from mu.foreign import ENOUGH_ZEROS, VAL_SHARE
from mu.hyperparameters import Hyperparameters, setting

SHORT_HELP = "Make a finished prune run of a checkpoint from elsewhere."
HELP = f"""Make a finished prune run of the checkpoint FILE, so that unlearn finds it.

\b
FILE is a checkpoint of the paper's repository (OPTML-Group/Unlearn-Sparse), any state dict that
torch.save wrote, alone or under a key such as state_dict, or a safetensors file. Nothing in it
is executed. Its masks (NAME_orig with NAME_mask) are the mask; without any, weights that are
exactly zero are, where they are at least {ENOUGH_ZEROS:.0%} of the prunable ones. The mean and std
of a layer `normalize` in front of the network are taken over.

The other options say how it was trained and pruned, so that Retrain can repeat it.

\b
  mu import 1model_SA_best.pth.tar --dataset cifar10 --data-dir PATH --arch resnet18
  mu import weights.safetensors --arch resnet20 --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25
"""
DEFAULTS = {
    "rate": "the sparsity of the file's mask",
    "scope": "the smallest that covers the file's mask",
    "val_share": f"{VAL_SHARE:g}, as nothing in the file says what was held out",
}


@dataclass(frozen=True)
class ImportOptions(Hyperparameters):
    """What a file may leave unsaid."""

    mean: str | None = setting(
        None,
        help="the network's normalisation, by channel, of pixels scaled to 0-1: 0.49,0.48,0.45 "
        "(default: the file's, else the data set's)",
    )
    std: str | None = setting(None, help="likewise")


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the pruner that ``arguments`` name."""
    own, device = Group(ImportOptions), Group(DeviceOptions)
    groups = original_groups(arguments, defaults=DEFAULTS)

    def action(values: Mapping[str, Any]) -> None:
        from mu.cli.import_job import import_file

        said = ImportOptions.of(own.given(values))
        normalisation = {name: _numbers(name, text) for name, text in said.as_dict().items()}
        given = {**given_settings(groups, values), **normalisation}
        import_file(values["file"], given, DeviceOptions.of(device.given(values)))

    return command("import", HELP, [*groups, own, device], action, [click.Argument(["file"])])


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UserError(
            f"{name}={text!r}: give a number for each channel, as 0.5,0.5,0.5"
        ) from None
