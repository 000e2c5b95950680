"""Attack an unlearned model with reference models, to see what it still tells of what it forgot."""

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
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting

HELP = """Attack an unlearned model with reference models (LiRA, U-LiRA, RMIA).

\b
Each reference is trained by the original's recipe on the retain set and a random half of
the forget set and as many test images; then the run's own method makes it forget that half.
The attacks judge the original, the unlearned model and the oracle. A run costs as many
times an oracle and an unlearning as there are references; interrupted, it goes on.

\b
  python -m entrypoints.lira --unlearn_run_id ID
  mlflow run . -e lira -P unlearn_run_id=ID -P references=64
  mlflow run . -e lira -P resume_run_id=ID
"""


@dataclass(frozen=True)
class LiraOptions(Hyperparameters):
    """What to attack, and with how much effort."""

    unlearn_run_id: str = setting(
        "auto", help="run to attack: an ID, or auto, the newest finished one that is no oracle"
    )
    references: int = setting(
        16, help="reference models to train, an even number; the paper takes 64 and more", low=2
    )
    gamma: float = setting(
        1.0, help="of RMIA: how far a sample must be ahead of one of the population", low=1.0
    )
    seed: int = setting(0, help="of test images, halves and references", low=0, high=LARGEST_SEED)
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find (that of the unlearn run, or by fingerprint), none, "
        "or an ID"
    )  # fmt: skip
    data_dir: str | None = setting(None, help="where the data lies, if it has moved")
    resume_run_id: str | None = setting(
        None, help="go on with that interrupted run; only what is missing is trained"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references % 2:
            raise UserError(
                f"references={self.references}: must be even, since references come in pairs; "
                f"give {self.references + 1}"
            )


def build(arguments: Sequence[str]) -> click.Command:
    """The command; its options do not depend on ``arguments``."""
    own, device = Group(LiraOptions), Group(DeviceOptions)

    def action(values: Mapping[str, Any]) -> None:
        lira(own.given(values), device.given(values))

    return command("lira", HELP, [own, device], action)


def lira(own: Given, device: Given) -> None:
    """The entry point: everything that can be checked is checked before a run is opened.

    Parameters
    ----------
    own, device
        What was given explicitly: for the entry and the device.
    """
    options = LiraOptions.of(own)
    from entrypoints import attacking

    if options.resume_run_id:
        attacking.go_on(options, device)
    else:
        attacking.main(options, DeviceOptions.of(device))


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
