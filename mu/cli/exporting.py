"""``mu export``, and the entry point of that name: a network as files that others load."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.options import Group
from mu.cli.requests import ExportOptions

SHORT_HELP = "The network of a run as files that load without mu."
HELP = """Export the network of a finished run as files that load without mu.

What the mask has killed is removed, which changes no answer beyond rounding: channels that nothing
reads, and those that are constant. The file is read again, and its logits are compared with the
network's on test images. A README says what the network is, what it has forgotten, and how to load
it. All is kept in a run of its own, and in the folder out.

"""
EXAMPLES = """\b
  mu export 31e9601a --out FOLDER
  mu export models:/digits@production --format onnx --out FOLDER
  mu export 31e9601a --format onnx --precision int8 --out FOLDER
  mlflow run . -e export -P run_id=31e9601a -P format=safetensors -P out=FOLDER
"""
TASK = "mu.tasks.export:export"


def build(_: Sequence[str]) -> click.Command:
    """The command, which takes the run as its argument."""
    return _command([click.Argument(["run"], metavar="RUN_ID")])


def build_entry(_: Sequence[str]) -> click.Command:
    """The entry point, which takes it as an option."""
    return _command([])


def _command(arguments: Sequence[click.Argument]) -> click.Command:
    groups = {"entry": [Group(ExportOptions)]}
    return entry_command("export", HELP + EXAMPLES, groups, TASK, arguments, reads=True)
