"""Make a whole grid of originals, oracles and unlearnings, each once, by one command."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Given, Group, command
from mu.cli.originals import DeviceOptions
from mu.errors import UserError
from mu.hyperparameters import Hyperparameters, setting
from mu.sweep.engines import ENGINES

MOST_RUNS = 200  # that are made without being asked whether that is meant

HELP = f"""Make every combination of originals, forget sets, methods and seeds of a grid file.

\b
  originals:               # options of prune; a list is an axis
    dataset: digits
    rate: [0, 0.95]
    seed: [0, 1, 2]
    epochs: 10
  forget: [class:0, "random:10%"]
  methods: [ft, ga, {{l1_sparse: {{shrink: [1, 2]}}}}]
  seed: [0]                # of the unlearning
  oracle: train            # or none, or options of retrain

\b
Each original and each oracle is made once and shared. What is finished already, wherever in
the experiment, is not made again, so the same command goes on after an interruption. More
than {MOST_RUNS} runs are made only with yes=true.

\b
  mlflow run . -e sweep -P grid=FILE.yaml -P dry_run=true
  mlflow run . -e sweep -P grid=FILE.yaml -P engine=processes -P jobs=4
  mlflow run . -e sweep -P resume_run_id=ID
"""


@dataclass(frozen=True)
class SweepOptions(Hyperparameters):
    """Which grid, and how it is worked through."""

    grid: str | None = setting(None, help="the grid, a YAML file")
    dry_run: bool = setting(False, help="only say what would be made, and how long it may take")
    yes: bool = setting(False, help=f"make more than {MOST_RUNS} runs")
    engine: str = setting(
        "local",
        help="local: one after the other; processes: several at a time on this machine; ray: by a "
        "Ray cluster",
        choices=ENGINES,
    )
    jobs: int | None = setting(
        None,
        help="how many at a time, of processes and ray (default: one for each GPU, or where there "
        "is none for each core)",
        low=1,
    )
    retries: int = setting(1, help="how often a run that failed is tried again", low=0)
    ray_address: str | None = setting(
        None, help="the Ray cluster: host:port (default: one on this machine, for this sweep)"
    )
    resume_run_id: str | None = setting(
        None, help="go on with that interrupted sweep; the grid need not be said again"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid is None and self.resume_run_id is None:
            raise UserError("give grid=FILE.yaml (see --help), or resume_run_id")
        if self.engine == "local" and self.jobs not in (None, 1):
            raise UserError(
                f"jobs={self.jobs}: engine=local makes one run after the other; give "
                "engine=processes, or leave jobs out"
            )
        if self.engine != "ray" and self.ray_address is not None:
            raise UserError(f"ray_address={self.ray_address}: only engine=ray has one")


def build(arguments: Sequence[str]) -> click.Command:
    """The command; its options do not depend on ``arguments``."""
    own, device = Group(SweepOptions), Group(DeviceOptions)

    def action(values: Mapping[str, Any]) -> None:
        sweep(own.given(values), device.given(values))

    return command("sweep", HELP, [own, device], action)


def sweep(own: Given, device: Given) -> None:
    """The entry point: everything that can be checked is checked before a run is opened.

    Parameters
    ----------
    own, device
        What was given explicitly: for the entry and the device.
    """
    options = SweepOptions.of(own)
    from entrypoints import sweeping

    sweeping.main(options, device)


if __name__ == "__main__":
    run_command(build, sys.argv[1:], launches=False)  # each task starts its own processes
