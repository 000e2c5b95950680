"""Train an original, dense or sparse, and hand on its mask and checkpoint by run ID."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Group, command
from mu.cli.originals import DeviceOptions, given_settings, original_groups
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, setting

HELP = """Train an original and prune it: train, find the mask, rewind, train again.

\b
The run keeps mask/ and checkpoint/ as artifacts; unlearn finds them by its run ID.
rate=0 gives the dense original. The options and defaults below are those of the data set,
profile and pruner that are named before --help.

\b
  python -m entrypoints.prune --rate 0.95
  mlflow run . -e prune -P dataset=cifar10_jpeg -P data_dir=PATH -P arch=resnet20
  mlflow run . -e prune -P pruner=imp -P rate=0.2 -P rounds=5
  mlflow run . -e prune -P resume_run_id=ID
  python -m entrypoints.prune --profile vit --pruner synflow --help
"""


@dataclass(frozen=True)
class PruneOptions(Hyperparameters):
    """Earlier runs to start from."""

    mask_run_id: str | None = setting(
        None,
        help="train under the mask of that run instead of finding one; what is not given is as "
        "in that run",
    )
    resume_run_id: str | None = setting(
        None, help="go on with that interrupted run from its last finished epoch"
    )


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the pruner that ``arguments`` name."""
    own, device = Group(PruneOptions), Group(DeviceOptions)
    groups = original_groups(arguments)

    def action(values: Mapping[str, Any]) -> None:
        prune(given_settings(groups, values), device.given(values), own.given(values))

    return command("prune", HELP, [*groups, own, device], action)


def prune(
    given: Mapping[str, Any], device: Mapping[str, Any], earlier: Mapping[str, Any] | None = None
) -> None:
    """The entry point: everything is checked before a run is opened.

    Parameters
    ----------
    given, device, earlier
        What was given explicitly: for the original, the device, and :class:`PruneOptions`.
    """
    from entrypoints import originals
    from mu.cli.handover import print_original
    from mu.tracking import connect

    options, settings = PruneOptions.of(earlier or {}), DeviceOptions.of(device)
    settings.check()
    if options.mask_run_id and options.resume_run_id:
        raise UserError("resume_run_id goes on with a run as it was started; leave mask_run_id out")
    if options.resume_run_id:
        store = connect()
        order = originals.order_of_interrupted(store, options.resume_run_id, given, device)
    elif options.mask_run_id:
        store = connect()
        order = originals.order_under_mask(store, options.mask_run_id, given, settings)
    else:
        order = originals.order_asked(given, settings)
        store = connect()
    original = originals.make_original(store, order)
    print_original(store, original)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
