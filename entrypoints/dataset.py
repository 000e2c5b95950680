"""Build a file of images for training at full scale, verify one, or show what it holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Group, command
from mu.hyperparameters import Hyperparameters, setting

HELP = """Build an LMDB file of images from a folder, a tar or a named data set; or verify one.

\b
The images go in as they are (those of a named set as PNG). The file is read by
dataset=lmdb with data_dir=FILE. An interrupted build goes on when the same is said again.

\b
  mlflow run . -e dataset -P source=PATH -P out=FILE.lmdb
  mlflow run . -e dataset -P source=cifar10_jpeg -P data_dir=PATH -P out=FILE.lmdb
  mlflow run . -e dataset -P verify=FILE.lmdb
"""


@dataclass(frozen=True)
class DatasetOptions(Hyperparameters):
    """What to build, or what to verify."""

    source: str | None = setting(
        None, help="a folder or tar of class folders (train/, and test/ or val/), or a data set"
    )
    data_dir: str | None = setting(None, help="where the files of a named data set lie")
    image_size: int | None = setting(
        None, help="side to which a named data set brings its images, where they differ", low=1
    )
    out: str | None = setting(None, help="the file to build")
    map_size: int | None = setting(
        None, help="largest size of the file in bytes (default: as large as needed)", low=2**20
    )
    verify: str | None = setting(None, help="the file to check, byte by byte")


def build(arguments: Sequence[str]) -> click.Command:
    """The command."""
    own = Group(DatasetOptions)

    def action(values: Mapping[str, Any]) -> None:
        from entrypoints import dataset_job

        dataset_job.main(DatasetOptions.of(own.given(values)))

    return command("dataset", HELP, [own], action)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
