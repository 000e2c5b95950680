"""Poison a training set, measure how far the attack works, unlearn the poison, measure again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from mu.cli.main import run as run_command
from mu.cli.options import Given, Group, command, peek
from mu.cli.originals import DeviceOptions, given_settings, original_groups
from mu.data.triggers import DEFAULT_TRIGGER, check_trigger, trigger_class
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting
from mu.methods import DEFAULT_METHOD, METHODS, check_method, method_class

HELP = """Plant a backdoor in an original, make it forget the poison, and show what is left.

\b
The poisoned original is that of prune_run_id, or the newest finished one that agrees with what
is asked, or a new one. Options of the original are named as in prune, with the prefix prune_
(dataset, data_dir, image_size, arch and stem are plain). The options of the method and of the
trigger are those of --method and --trigger.

\b
  python -m entrypoints.backdoor --trigger patch --target 0 --poison random:10%
  mlflow run . -e backdoor -P prune_rate=0.95 -P method=ft -P oracle_run_id=train
  mlflow run . -e backdoor -P sparsities=0,50,75,90,95,99 -P method=ft
  mlflow run . -e backdoor -P poison=random:3% -P suspects=spectral
  python -m entrypoints.backdoor --trigger warping --help
"""


@dataclass(frozen=True)
class BackdoorOptions(Hyperparameters):
    """What to start from, and how to cleanse it."""

    prune_run_id: str = setting("auto", help="run of a poisoned original: an ID, or auto")
    mask_run_id: str | None = setting(
        None,
        help="train the poisoned original under the mask of that run; what is not given is as in "
        "that run",
    )
    method: str = setting(DEFAULT_METHOD, help=f"how to unlearn: {', '.join(METHODS)}")
    suspects: str | None = setting(
        None,
        help="which samples are forgotten where nobody knows the poisoned ones: spectral, or a "
        "file of sample numbers (default: the poisoned ones)",
    )
    oracle_run_id: str = setting(
        "find", help="run of the oracle: find, train (where none is found), none, or an ID"
    )
    sparsities: str | None = setting(
        None,
        help="do it all for each of these sparsities, in percent and with commas, in runs below "
        "this one, and draw them together",
    )
    seed: int = setting(0, help="of the unlearning", low=0, high=LARGEST_SEED)
    resume_run_id: str | None = setting(
        None,
        help="go on with that interrupted run from its last finished epoch; what it was asked to "
        "do need not be said again",
    )


@dataclass(frozen=True)
class Asked:
    """What was given explicitly, by group and without prefixes.

    Parameters
    ----------
    own, poison, trigger, suspects, settings, original, device
        For the entry, the attack, its trigger, the search for suspects, the method, the original
        and the device.
    """

    own: Given
    poison: Given
    trigger: Given
    suspects: Given
    settings: Given
    original: Given
    device: Given


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method, trigger and pruner that are named."""
    method = _method(arguments)
    trigger = check_trigger(peek(arguments, "trigger", DEFAULT_TRIGGER))
    original = original_groups(arguments, prefix="prune_")
    from mu.data.poison import PREFIX, PoisonOptions
    from mu.detection.spectral import SpectralSignatures

    own, device = Group(BackdoorOptions), Group(DeviceOptions)
    settings = Group(method_class(method))
    poison, mark = Group(PoisonOptions), Group(trigger_class(trigger), PREFIX)
    suspects = Group(SpectralSignatures, "suspects_")

    def action(values: Mapping[str, Any]) -> None:
        from entrypoints import poisoning

        asked = Asked(
            own=own.given(values),
            poison=poison.given(values),
            trigger=mark.given(values),
            suspects=suspects.given(values),
            settings=settings.given(values),
            original=given_settings(original, values),
            device=device.given(values),
        )
        poisoning.main(asked)

    name = f"backdoor with method={method} and trigger={trigger}"
    groups = [own, poison, mark, suspects, settings, *original, device]
    return command(name, HELP, groups, action)


def _method(arguments: Sequence[str]) -> str:
    """The method whose options the command has: that of the interrupted run, where one is named."""
    resumed = peek(arguments, "resume_run_id", "none")
    if resumed in ("none", "auto"):
        return check_method(peek(arguments, "method", DEFAULT_METHOD))
    from entrypoints.unlearn_again import method_of_interrupted

    return method_of_interrupted(resumed, "backdoor")


if __name__ == "__main__":
    run_command(build, sys.argv[1:])
