"""A command whose ranks fail: ``python -m tests.distributed.failing --devices 2 --how mistake``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

from mu.cli.main import run as run_command
from mu.cli.options import Group, command
from mu.cli.requests import DeviceOptions
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, setting
from mu.runs import Run

LONG = 600  # seconds


@dataclass(frozen=True)
class HowOptions(Hyperparameters):
    """What happens."""

    how: str = setting("mistake", help="which failure")
    rank: int = setting(1, help="of which rank")
    folder: str | None = setting(None, help="where process numbers are written")


def mistake() -> None:
    raise UserError("the image 'a.jpg' is truncated; replace it")


def defect() -> None:
    raise ZeroDivisionError("of one rank")


def nothing() -> None:
    """Do nothing."""


FAILURES: dict[str, Callable[[], None]] = {one.__name__: one for one in (mistake, defect, nothing)}


def build(arguments: Sequence[str]) -> click.Command:
    how, device = Group(HowOptions), Group(DeviceOptions)

    def action(values: Mapping[str, Any]) -> None:
        options = HowOptions.of(how.given(values))
        run = Run(**DeviceOptions.of(device.given(values)).as_dict())
        print(f"rank {run.ranks.rank} prints, threads {torch.get_num_threads()}", flush=True)
        if options.folder:
            (Path(options.folder) / f"{run.ranks.rank}.pid").write_text(str(os.getpid()))
            time.sleep(LONG)
        if run.ranks.rank == options.rank:
            FAILURES[options.how]()
        run.ranks.add_up(torch.zeros(1))  # the others wait for that rank

    return command("failing", "Fails.", [how, device], action)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
