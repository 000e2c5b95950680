"""Make an original forget a part of its training data, and show how well it forgot."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Given, Group, command, peek
from mu.cli.originals import DeviceOptions, given_settings, original_groups
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting
from mu.methods import DEFAULT_METHOD, METHODS, check_method, method_class

HELP = """Make an original forget, evaluate it, and compare it with the oracle.

\b
The original is that of prune_run_id, or the newest finished one that agrees with what is
asked, or a new one. Options of the original are named as in prune, with the prefix prune_
(dataset, data_dir, image_size, arch and stem are plain); their defaults hold only where
an original is made. The options of the method are those of --method.

\b
  python -m entrypoints.unlearn --forget class:3 --method l1_sparse --oracle_run_id train
  mlflow run . -e unlearn -P prune_run_id=ID -P forget=random:10% -P method=ft -P lr=0.02
  mlflow run . -e unlearn -P resume_run_id=ID
"""


STAGES = ("poisoned", "cleansed")  # of a backdoor run


@dataclass(frozen=True)
class ForgetOptions(Hyperparameters):
    """What to forget, how, and what to compare with."""

    prune_run_id: str = setting("auto", help="run of the original: an ID, or auto")
    stage: str | None = setting(
        None,
        help="of a backdoor run: start from the poisoned original or from the cleansed network",
        choices=STAGES,
    )
    method: str = setting(DEFAULT_METHOD, help=f"how to unlearn: {', '.join(METHODS)}")
    forget: str = setting(
        "class:0",
        help="class:3, class:0,3,7, class:3:200, random:450, random:10%, indices:FILE, or poison "
        "(the poisoned samples of a poisoned original)",
    )
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find, train (where none is found), none, or an ID"
    )


@dataclass(frozen=True)
class UnlearnOptions(ForgetOptions):
    """What ``unlearn`` is asked, beside the settings of the method and of the original."""

    seed: int = setting(0, help="of the unlearning", low=0, high=LARGEST_SEED)
    resume_run_id: str | None = setting(
        None,
        help="go on with that interrupted run from its last finished epoch; what it was asked to "
        "do need not be said again",
    )


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method and pruner that ``arguments`` name."""
    method = _method(arguments)
    own, device, settings = Group(UnlearnOptions), Group(DeviceOptions), Group(method_class(method))
    original = original_groups(arguments, prefix="prune_")

    def action(values: Mapping[str, Any]) -> None:
        asked = given_settings(original, values)
        unlearn(own.given(values), settings.given(values), asked, device.given(values))

    name = f"unlearn with method={method}"
    return command(name, HELP, [own, settings, *original, device], action)


def _method(arguments: Sequence[str]) -> str:
    """The method whose options the command has: that of the interrupted run, where one is named."""
    resumed = peek(arguments, "resume_run_id", "none")
    if resumed in ("none", "auto"):
        return check_method(peek(arguments, "method", DEFAULT_METHOD))
    from entrypoints.unlearn_again import method_of_interrupted

    return method_of_interrupted(resumed)


def unlearn(own: Given, settings: Given, asked: Given, device: Given) -> None:
    """The entry point: everything that can be checked is checked before a run is opened.

    Parameters
    ----------
    own, settings, asked, device
        What was given explicitly: for the entry, the method, the original and the device.
    """
    from entrypoints import unlearning

    options = UnlearnOptions.of(own)
    if options.resume_run_id:
        unlearning.go_on(options, settings, asked, device)
    else:
        unlearning.main(options, settings, asked, DeviceOptions.of(device))


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
