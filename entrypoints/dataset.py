"""Build a file of images for training at full scale, verify one, or show what it holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.main import run as run_command
from mu.cli.options import Group
from mu.cli.requests import DatasetOptions

HELP = """Build an LMDB file of images from a folder, a tar or a named data set; or verify one.

\b
Images are stored unchanged (those of a named data set as PNG). To train on the file, give
dataset=lmdb and data_dir=FILE. The same command continues an interrupted build.

\b
  mlflow run . -e dataset -P source=PATH -P out=FILE.lmdb
  mlflow run . -e dataset -P source=cifar10_jpeg -P data_dir=PATH -P out=FILE.lmdb
  mlflow run . -e dataset -P verify=FILE.lmdb
"""


def build(_arguments: Sequence[str]) -> click.Command:
    """The command; its options are always the same."""
    groups = {"entry": [Group(DatasetOptions)]}
    return entry_command("dataset", HELP, groups, "mu.tasks.dataset:dataset")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
