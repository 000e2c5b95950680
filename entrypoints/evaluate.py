"""Measure a model that was made before: attacks, distance to its oracle, plots."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Group, command
from mu.cli.originals import DeviceOptions
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting

HELP = """Measure an unlearned model, and compare it with its oracle.

\b
What is measured is logged in a run of its own and, unless add=false, added to the run that
was measured. `mu metrics` lists every number with its definition.

\b
  python -m entrypoints.evaluate --run_id ID
  mlflow run . -e evaluate -P run_id=ID -P metrics=relearn,tow
  mlflow run . -e evaluate -P run_id=ID -P metrics=klom -P run_ids=ID,ID -P oracle_run_ids=ID,ID
  python -m entrypoints.evaluate --checkpoint DIR --forget class:3 --oracle_run_id ID
"""


@dataclass(frozen=True)
class EvaluateOptions(Hyperparameters):
    """What to measure, of which model."""

    run_id: str | None = setting(
        None, help="run of the model: unlearn, or prune with forget (the original itself)"
    )
    checkpoint: str | None = setting(
        None, help="folder with checkpoint/ and mask/ as runs hand them on, in place of a run"
    )
    forget: str | None = setting(
        None, help="forget set, where the model's own is not known: class:3, random:10%, ..."
    )
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find (by fingerprint), none, or an ID"
    )
    metrics: str = setting(
        "default",
        help="default, all, or names with commas: accuracy, membership, rates, calibration, "
        "oracle, relearn, klom, or single metrics",
    )
    run_ids: str | None = setting(
        None, help="further runs of the same unlearning with other seeds, with commas (klom)"
    )
    oracle_run_ids: str | None = setting(
        None, help="further oracles with other seeds, with commas (klom)"
    )
    add: bool = setting(True, help="add the numbers to the run that is measured")
    seed: int = setting(0, help="of the relearning", low=0, high=LARGEST_SEED)
    data_dir: str | None = setting(None, help="where the data lie, if they have moved")


def build(arguments: Sequence[str]) -> click.Command:
    """The command."""
    own, device = Group(EvaluateOptions), Group(DeviceOptions)

    def action(values: Mapping[str, Any]) -> None:
        from entrypoints import evaluating

        evaluating.main(
            EvaluateOptions.of(own.given(values)), DeviceOptions.of(device.given(values))
        )

    return command("evaluate", HELP, [own, device], action)


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
