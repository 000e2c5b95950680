"""From groups of options and a task to a command: what every entry point is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from mu.cli.options import Group, command
from mu.cli.requests import Request
from mu.registry import load


def entry_command(
    name: str,
    help: str,
    groups: Mapping[str, Sequence[Group]],
    task: str,
    arguments: Sequence[click.Argument] = (),
) -> click.Command:
    """A command that hands what was given to a task.

    Parameters
    ----------
    groups
        The groups of options by the field of :class:`~mu.cli.requests.Request` that they fill.
    task
        Import path of the function that is called with the request, and with the values of
        ``arguments``. It is imported only then, with torch and MLflow.
    arguments
        Positional ones.
    """

    def action(values: Mapping[str, Any]) -> None:
        given = {part: given_settings(own, values) for part, own in groups.items()}
        load(task)(Request(**given), *(values[str(one.name)] for one in arguments))

    flat = [group for own in groups.values() for group in own]
    return command(name, help, flat, action, arguments)


def given_settings(groups: Sequence[Group], values: Mapping[str, Any]) -> dict[str, Any]:
    """What was given explicitly for these groups, by names without prefix."""
    return {name: value for group in groups for name, value in group.given(values).items()}
