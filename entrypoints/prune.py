"""Train an original, dense or sparse, and hand on its mask and checkpoint by run ID."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from entrypoints.options import DeviceOptions, given_settings, original_groups
from mu.cli.main import run as run_command
from mu.cli.options import Group, command

HELP = """Train an original and prune it: train, find the mask, rewind, train again.

\b
The run keeps mask/ and checkpoint/ as artifacts; unlearn finds them by its run ID.
rate=0 gives the dense original.

\b
  python -m entrypoints.prune --rate 0.95
  mlflow run . -e prune -P dataset=cifar10_jpeg -P data_dir=PATH -P arch=resnet20
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the pruner that ``arguments`` name."""
    groups = original_groups(arguments)
    device = Group(DeviceOptions)

    def action(values: Mapping[str, Any]) -> None:
        prune(given_settings(groups, values), device.given(values))

    return command("prune", HELP, [*groups, device], action)


def prune(given: Mapping[str, Any], device: Mapping[str, Any]) -> None:
    """The entry point: everything is checked before a run is opened."""
    from entrypoints.originals import load_asked, make_original, print_original
    from mu.runs import pick_device
    from mu.tracking import connect

    settings = DeviceOptions.of(device)
    pick_device(settings.device)
    dataset, recipe = load_asked(given)
    store = connect()
    original = make_original(store, dataset, recipe, settings)
    print_original(store, original)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
