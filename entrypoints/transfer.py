"""Make a source model forget classes, train it on for a target, and show what that was good for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from entrypoints.unlearn import ForgetOptions
from mu.cli.main import run as run_command
from mu.cli.options import Given, Group, command, peek
from mu.cli.originals import DeviceOptions, given_settings, original_groups
from mu.data import DATASETS
from mu.errors import unknown
from mu.hyperparameters import LARGEST_SEED, setting
from mu.methods import DEFAULT_METHOD, check_method, method_class
from mu.own import check_name
from mu.transfer import DEFAULT_TUNE, TUNES

HELP = """Make an original forget, train it on for a target, and compare with the original.

\b
Some classes of a source do harm where its network is to serve a target. This entry forgets the
classes that you name, gives the original, the unlearned network and the oracle the same new
head, trains each on for the target in the same way, and compares their accuracy there.

\b
The original and the unlearning are as in unlearn, a run of its own below this one; or give
unlearn_run_id. Options of the training for the target have the prefix transfer_.

\b
  mlflow run . -e transfer -P prune_run_id=ID -P forget=class:0,3 -P target=imagefolder \\
    -P target_dir=DIR
  mlflow run . -e transfer -P unlearn_run_id=ID -P target=oxford_pets -P target_dir=DIR -P tune=all
"""
PREFIX = "transfer_"  # of the options of the training for the target


@dataclass(frozen=True)
class TransferOptions(ForgetOptions):
    """What to forget, and what to train on for."""

    unlearn_run_id: str = setting(
        "none",
        help="start from a finished unlearn run: an ID, or auto, the newest one that is no oracle; "
        "none unlearns here",
    )
    target: str | None = setting(
        None, help=f"data set to train on for: {', '.join(DATASETS)} or package.module:function"
    )
    target_dir: str | None = setting(None, help="where its files lie")
    target_stream: bool | None = setting(
        None, help="decode its images as they are needed (default: where they do not fit in memory)"
    )
    tune: str = setting(
        DEFAULT_TUNE,
        help="what is trained: head (a new linear head; the features stay as they are) or all",
        choices=tuple(TUNES),
    )
    seed: int = setting(
        0,
        help="of the unlearning, the new head and the order of samples",
        low=0,
        high=LARGEST_SEED,
    )


@dataclass(frozen=True)
class Asked:
    """What was given explicitly, by group and without prefixes.

    Parameters
    ----------
    own, training, settings, original, device
        For the entry, the training for the target, the method, the original and the device.
    """

    own: Given
    training: Given
    settings: Given
    original: Given
    device: Given


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method and pruner that ``arguments`` name."""
    if (target := peek(arguments, "target", "none")) not in ("none", "auto"):
        check_name("target", target, DATASETS)
    if (tune := peek(arguments, "tune", DEFAULT_TUNE)) not in TUNES:
        raise unknown("tune", tune, TUNES)
    method = _method(arguments)
    original = original_groups(arguments, prefix="prune_")
    from mu.training.recipe import Training

    own, device = Group(TransferOptions), Group(DeviceOptions)
    settings = Group(method_class(method))
    training = Group(Training, PREFIX, {name: str(value) for name, value in TUNES[tune].items()})

    def action(values: Mapping[str, Any]) -> None:
        from entrypoints import transferring

        asked = Asked(
            own=own.given(values),
            training=training.given(values),
            settings=settings.given(values),
            original=given_settings(original, values),
            device=device.given(values),
        )
        transferring.main(asked)

    name = f"transfer with method={method} and tune={tune}"
    return command(name, HELP, [own, training, settings, *original, device], action)


def _method(arguments: Sequence[str]) -> str:
    """The method whose options the command has: that of the unlearn run, where one is named."""
    run_id = peek(arguments, "unlearn_run_id", "none")
    if run_id == "none":
        return check_method(peek(arguments, "method", DEFAULT_METHOD))
    from entrypoints.unlearned import method_of_run

    return method_of_run(run_id)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
