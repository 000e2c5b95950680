"""From groups of options and a task to a command: what every entry point is made of."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from mu.cli.options import Group, command
from mu.cli.requests import Request, TrustOptions
from mu.cli.run_ids import whole_request
from mu.hyperparameters import Hyperparameters
from mu.registry import load
from mu.trust import allow

NAMES_FUNCTIONS = ("dataset", "arch", "target")


def entry_command(
    name: str,
    help: str,
    groups: Mapping[str, Sequence[Group]],
    task: str,
    arguments: Sequence[click.Argument] = (),
    *,
    reads: bool = False,
) -> click.Command:
    """A command that hands what was given to a task.

    One that computes reads checkpoints, so it has the option ``trust`` as well, and so has one that
    ``reads`` them without a device. ``groups``: of
    options, by the field of :class:`~mu.cli.requests.Request` that they fill. ``task``: import path
    of the function that is called with the request, and with the values of the positional
    ``arguments``; it is imported only then, with torch and MLflow.
    """
    trust = [Group(TrustOptions)] if reads or "device" in groups else []

    def action(values: Mapping[str, Any]) -> None:
        allow(given_settings(trust, values).get("trust"), *_functions(values))
        given = {part: given_settings(own, values) for part, own in groups.items()}
        work = load(task)
        gc.freeze()  # what imports brought stays
        gc.enable()
        work(whole_request(Request(**given)), *(values[str(one.name)] for one in arguments))

    flat = [*(group for own in groups.values() for group in own), *trust]
    return command(name, help, flat, action, arguments)


def _functions(values: Mapping[str, Any]) -> list[str]:
    """The functions that were typed: what the user names may be imported, wherever it stands."""
    given = [value.value for name in NAMES_FUNCTIONS if (value := values.get(name)) is not None]
    return [one for one in given if one and ":" in one]


def fixed_command(
    name: str,
    help: str,
    task: str,
    options: type[Hyperparameters],
    device: type[Hyperparameters] | None = None,
) -> Callable[[Sequence[str]], click.Command]:
    """What builds a command whose options are the same whatever its arguments are.

    ``options``, ``device``: of the entry and, where it computes, of the device.
    """
    groups = {"entry": [Group(options)]} | ({"device": [Group(device)]} if device else {})
    return lambda _: entry_command(name, help, groups, task)


def given_settings(groups: Sequence[Group], values: Mapping[str, Any]) -> dict[str, Any]:
    """What was given explicitly for these groups, by names without prefix."""
    return {name: value for group in groups for name, value in group.given(values).items()}
